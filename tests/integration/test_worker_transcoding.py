"""The handler with a recipe that asks for a transfer syntax: the codec host, the ledger and the registry together."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from fix_farm import CT, make_instances
from pydicom.data import get_testdata_file

from farm.errors import Reason
from farm.recipe.recipe import Recipe
from workers.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fix_farm import Opener

pytestmark = pytest.mark.servers
HTJ2K, J2K = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.91"


def recipe(syntax: str, **coding: object) -> Recipe:
    """Return `basic` with a transfer syntax."""
    return Recipe.from_dict({"$extends": "basic", "output": {"transfer_syntax": syntax}, "coding": coding})


@pytest.fixture
def handlers() -> Iterator[list[Handler]]:
    """Collect the handlers of a test and close them."""
    made: list[Handler] = []
    yield made
    for handler in made:
        handler.close()


def test_a_parcel_is_transcoded(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Lost otherwise: a lake in one syntax, the samples as they were, and a manifest that says what made them."""
    make_instances(source, 4)
    run = opened(recipe("htj2k-lossless"))
    handlers.append(Handler(run.settings))
    for parcel in run.feed():
        handlers[0].handle(parcel.generation)
    assert run.progress().done == 4
    rows = list(run.ledger().manifest(run.run.id))
    assert {(row["pixels"], row["target_syntax"]) for row in rows} == {("encode", HTJ2K)}
    assert all("OpenJPH" in str(row["codec"]) for row in rows)
    before = pydicom.dcmread(CT).pixel_array
    for path in run.outputs():
        found = pydicom.dcmread(path)
        assert found.file_meta.TransferSyntaxUID == HTJ2K
        assert np.array_equal(found.pixel_array, before)


def test_frames_that_do_not_decode_cost_their_instance(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Lost otherwise: one broken bitstream would take a parcel with it, or be passed on as if it were whole."""
    make_instances(source, 2)
    broken = bytearray(Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes())
    at = broken.index(b"\xff\x4f\xff\x51")
    broken[at + 8 : at + 16] = b"\0\0\1\0\0\0\1\0"  # another size than the attributes say
    (source / "broken.dcm").write_bytes(broken)
    run = opened(recipe("native"))
    handlers.append(Handler(run.settings))
    for parcel in run.feed():
        handlers[0].handle(parcel.generation)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (2, {Reason.PIXELS_UNDECODABLE: 1})


def test_a_codec_host_that_dies_costs_nothing(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Lost otherwise: the out-of-memory killer's choice of a codec host would quarantine what it had in hand."""
    make_instances(source, 6)
    run = opened(recipe("rle"))
    handlers.append(Handler(run.settings))
    for parcel in run.feed(instances=2):
        handlers[0].handle(parcel.generation)
        host = handlers[0]._transcoder.pid
        assert host is not None
        os.kill(host, signal.SIGKILL)
    assert run.progress().done == 6


def test_a_lossy_copy_leads_back_to_its_original(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Lost otherwise: what an output lost could not be looked for in its original."""
    make_instances(source, 1)
    run = opened(recipe("j2k"))
    handlers.append(Handler(run.settings))
    for parcel in run.feed():
        handlers[0].handle(parcel.generation)
    [row] = list(run.ledger().manifest(run.run.id))
    assert row["target_syntax"] == J2K
    original = run.session.call(
        lambda tables: tables.registry.original_uid(run.run.project_id, str(row["instance"]), actor="test", why="test")
    )
    assert original == "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.00000"
    [path] = run.outputs()
    found = pydicom.dcmread(path)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == row["instance"]
    assert (found.LossyImageCompression, found.LossyImageCompressionMethod) == ("01", "ISO_15444_1")
    assert found.ImageType[0] == "DERIVED"
