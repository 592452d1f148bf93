"""A distributed farm that de-identifies DICOM to PS3.15 and fills a data lake."""

__version__ = "0.1.0"
