"""The DICOM upper layer without input or output, and its shells."""
