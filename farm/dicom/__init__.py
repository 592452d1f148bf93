"""DICOM as bytes: headers, lengths and edits over the original, without input or output."""
