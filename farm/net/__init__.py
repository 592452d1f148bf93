"""DICOM networking: the upper layer and DIMSE without I/O, and the asyncio shells around them."""
