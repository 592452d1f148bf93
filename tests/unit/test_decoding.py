"""Work that only decodes: what is asked of codecs for any instance, as it stands."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from blake3 import blake3
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from farm.codecs import registry
from farm.dicom.part10 import Limits
from farm.errors import BadInput, Reason
from farm.frames.work import Result
from farm.transcoding.decoding import decoding
from farm.transcoding.frames import Inline
from farm.transcoding.instance import Opened, opened
from farm.transcoding.targets import Wanted
from tests.generate.multiframe import enhanced_mr
from tests.generate.part10 import encode


def _opened(data: bytes) -> Opened:
    return opened(data, Wanted(), Limits())


def _shipped(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_frame_is_decoded(syntax: pydicom.uid.UID) -> None:
    """Lost: frames that nobody looked at would be told as sound."""
    frames = enhanced_mr("decoding", frames=3)
    wanted = [blake3(samples.astype("<u2").tobytes()).digest() for samples in _array(frames)]
    work = decoding(_opened(encode(frames, syntax=syntax)))
    assert work is not None
    [result] = Inline(registry.decoder, registry.encoder).run([work])
    assert isinstance(result, Result)
    assert list(result.streams) == wanted


def _array(frames: pydicom.Dataset) -> list[object]:
    frames.file_meta = pydicom.dataset.FileMetaDataset()
    frames.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return list(frames.pixel_array)


def test_no_pixels() -> None:
    """Lost: a plan or a report would be told as damaged."""
    assert decoding(_opened(_shipped("rtplan.dcm"))) is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x28\x00\x10\x00US\x02\x00\x80\x00", b"\x28\x00\x10\x00US\x02\x00\x00\x00", Reason.PIXELS_UNDECODABLE),
        (b"\x28\x00\x10\x00US\x02\x00\x80\x00", b"\x28\x00\x10\x00US\x02\x00\x81\x00", Reason.PIXEL_LENGTH),
        (b"\x28\x00\x02\x00US\x02\x00\x01\x00", b"\x28\x00\x08\x00IS\x02\x000 ", Reason.PIXELS_UNDECODABLE),
    ],
)
def test_what_cannot_be_true(old: bytes, new: bytes, reason: Reason) -> None:
    """Lost: pixels that no reader can make sense of would be told as sound, or as without any."""
    data = _shipped("CT_small.dcm")
    assert old in data
    with pytest.raises(BadInput) as caught:
        decoding(_opened(data.replace(old, new)))
    assert caught.value.reason is reason
