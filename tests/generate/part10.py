"""Shorthand to build data sets, to walk and count what is in them, and to encode them as files."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian


def put(dataset: Dataset, **values: object) -> Dataset:
    """Set the elements by keyword; return the same data set."""
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def item_of(**values: object) -> Dataset:
    """Return a new data set or item with these elements."""
    return put(Dataset(), **values)


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a code item."""
    return item_of(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def reference(sop_class: UID, instance: UID) -> Dataset:
    """Return an item that refers to an instance."""
    return item_of(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance)


def sequences(dataset: Dataset) -> Iterator[tuple[DataElement, list[Dataset]]]:
    """Yield every sequence element with its items, outer ones first."""
    waiting = [dataset]
    while waiting:
        for element in waiting.pop():
            if element.VR == "SQ":
                items = list(element.value)
                yield element, items
                waiting.extend(items)


def count_elements(dataset: Dataset) -> int:
    """Return how many elements the data set has at all depths."""
    return len(dataset) + sum(len(item) for _, items in sequences(dataset) for item in items)


def encode(dataset: Dataset, *, syntax: UID = ExplicitVRLittleEndian, undefined_lengths: bool = False) -> bytes:
    """Return the file of an uncompressed instance, sequences and items with defined or undefined lengths."""
    for sequence, items in sequences(dataset):
        sequence.is_undefined_length = undefined_lengths
        for item in items:
            item.is_undefined_length_sequence_item = undefined_lengths
    if syntax == ExplicitVRBigEndian and "PixelData" in dataset:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER_01"
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
