"""A device against the processor's codecs: every layout that it claims, both ways.

Where a syntax is lossless the samples are the same, to the bit; the bytes need not be. Where it is lossy, two decoders
of one stream differ by rounding, and an encoder of the device loses no more than is allowed to ours (`LOSS`). These
tests need a device of NVIDIA with nvJPEG2000 and CuPy: `pip install -e '.[gpu,test]'`, and `pytest tests/gpu`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from farm.codecs import j2k_markers, nvjpeg2000, registry, uids
from farm.codecs.nvbatch import LOSSY, Made
from farm.codecs.nvjpeg2000 import CLAIMS, Device, serves
from farm.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE
from farm.frames.codec import Decoded, Encoded, Options, Region
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job
from farm.transcoding.frames import blanked, digest, worked
from tests.suites.codec_suite import LOSS, layout_of, picture

SIZES = ((32, 32), (33, 47), (64, 512), (300, 200), (513, 511))
COLOURS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL")
BATCHES = (1, 7, 64)
ROUNDING = 2
"""Two decoders in floats of one irreversible stream may differ by so much in a sample."""


@cache
def _why_not() -> str:
    return nvjpeg2000.why_not()


@pytest.fixture(scope="session")
def device() -> Device:
    """Return the first device; the tests skip where there is none."""
    if _why_not():
        pytest.skip(f"no device: {_why_not()}")
    return Device(0)


def layouts() -> Iterator[Layout]:
    """Yield each combination of bits, sign, colours and bits allocated that may be claimed; the sizes take turns."""
    kinds = product(range(8, 17), (False, True), COLOURS, (8, 16))
    for number, (bits, signed, colours, allocated) in enumerate(kinds):
        if bits <= allocated and not (signed and bits < 9):
            yield layout_of(bits, SIZES[number % len(SIZES)], colours, signed=signed, allocated=allocated)


def coded(layout: Layout, source: str, seed: int = 0) -> tuple[bytes, Job]:
    """Return a frame in a transfer syntax by the processor's codec, and the job to decode it."""
    options = Options(syntax=source)
    encoded = registry.encoder(source).encode(picture(layout, seed), layout, options)
    return encoded.data, Job(source=source, layout=encoded.changes.apply(layout))


def samples_of(made: Made | None, job: Job) -> Samples:
    """Return what was made as the processor's codecs read it."""
    assert made is not None, (job.source, job.options, job.layout)
    if isinstance(made, Decoded):
        return made.samples
    assert isinstance(made, Encoded)
    assert job.options is not None
    return registry.decoder(job.options.syntax).decode(made.data, made.changes.apply(job.layout)).samples


@pytest.mark.parametrize("source", CLAIMS)
def test_decoding(device: Device, source: str) -> None:
    """Lost: samples would depend on which queue an instance took."""
    claim, units = registry.encoder(source).encodes[source], []
    for layout in layouts():
        if claim.covers(layout):
            frame, job = coded(layout, source)
            if serves(job):
                units.append((frame, job))
    assert len(units) > 30
    for (frame, job), made in zip(units, device.run(units), strict=True):
        expected = registry.decoder(source).decode(frame, job.layout)
        assert isinstance(made, Decoded), job.layout
        assert made.changes == expected.changes
        assert made.samples.dtype == expected.samples.dtype
        error = np.abs(made.samples.astype(int) - expected.samples)
        assert error.max() <= (ROUNDING if source in LOSSY else 0), job.layout


@pytest.mark.parametrize("target", CLAIMS)
def test_encoding(device: Device, target: str) -> None:
    """Lost: what a device has written could not be read by others, or would be something else."""
    options, units = Options(syntax=target), []
    for layout in layouts():
        job = Job(source=EXPLICIT_LITTLE, layout=layout, options=options)
        if serves(job):
            units.append((picture(layout).tobytes(), job))
    assert len(units) > 50
    for (frame, job), made in zip(units, device.run(units), strict=True):
        after = samples_of(made, job)
        before = picture(job.layout)
        said = worked(frame, job, registry.decoder, registry.encoder).changes
        assert made is not None
        assert replace(made.changes, lossy_ratio=None) == replace(said, lossy_ratio=None)
        low, high = job.layout.bounds
        if target in LOSSY:
            assert np.abs(after.astype(int) - before).mean() / (high - low) <= LOSS[target], job.layout
        else:
            assert (after == before).all(), job.layout


@pytest.mark.parametrize("target", [uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL, uids.HTJ2K])
def test_both_libraries_read_what_a_device_writes(device: Device, target: str) -> None:
    """Lost: streams that one library takes and another does not would come into the archive."""
    layout = layout_of(12, (600, 500), "MONOCHROME2")
    [made] = device.run(
        [(picture(layout).tobytes(), job := Job(source=EXPLICIT_LITTLE, layout=layout, options=Options(syntax=target)))]
    )
    assert isinstance(made, Encoded)
    openjpeg = registry.decoder(uids.J2K).decode(made.data, made.changes.apply(layout)).samples
    assert np.abs(openjpeg.astype(int) - samples_of(made, job)).max() <= (ROUNDING if target in LOSSY else 0)
    assert j2k_markers.read(made.data).high_throughput
    if target == uids.HTJ2K_RPCL:
        assert j2k_markers.read(made.data).serves_rpcl(600, 500)


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("target", [uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL, EXPLICIT_LITTLE, EXPLICIT_BIG, None])
def test_transcoding_in_batches(device: Device, target: str | None, count: int) -> None:
    """Lost: in a batch of many, frames could change places or spoil each other."""
    units = []
    for seed in range(count):
        colours = ("MONOCHROME2", "RGB")[seed % 2]
        frame, job = coded(layout_of((8, 8, 12, 10)[seed % 4], SIZES[seed % 5], colours), uids.J2K_LOSSLESS, seed)
        options = None if target is None else Options(syntax=target)
        units.append((frame, replace(job, options=options, blank=(Region(1, 2, 9, 11),))))
    for (frame, job), made in zip(units, device.run(units), strict=True):
        read = registry.decoder(job.source).decode(frame, job.layout)
        before = blanked(read.samples, job.blank, read.changes.apply(job.layout))
        assert digest(samples_of(made, job)) == digest(before)


def test_a_small_budget(device: Device) -> None:
    """Lost: a device that is shared would have to have all of its memory free."""
    frame, job = coded(layout_of(12, (512, 512), "MONOCHROME2"), uids.J2K_LOSSLESS)
    job = replace(job, options=Options(syntax=uids.HTJ2K_LOSSLESS))
    need = len(frame) + job.layout.size * nvjpeg2000._PLANES
    assert all(Device(0, 2 * need).run([(frame, job)] * 9))
    assert Device(0, need - 1).run([(frame, job)]) == [None]
    assert not device.lost


def test_broken_frames(device: Device) -> None:
    """Lost: a stream that was damaged on its way would end the device's process, or the frames beside it."""
    frame, job = coded(layout_of(12, (256, 256), "MONOCHROME2"), uids.J2K_LOSSLESS)
    random = np.random.default_rng(1)
    broken = []
    for _ in range(64):
        changed = bytearray(frame)
        changed[int(random.integers(120, len(frame) - 2))] ^= int(random.integers(1, 256))
        broken += [(bytes(changed), job), (frame, job)]
    assert device.run([(frame, job)])[0] is not None  # the first of its coding tells whether the others are read
    made = device.run(broken)
    sound = digest(registry.decoder(job.source).decode(frame, job.layout).samples)
    assert all(isinstance(one, Decoded) and digest(one.samples) == sound for one in made[1::2])
    assert not device.lost


def test_the_processor_finds_nothing_to_object_to(device: Device) -> None:
    """Lost: what was proved on the device alone would rest on the device's word."""
    layout = layout_of(16, (400, 300), "MONOCHROME2", signed=True)
    job = Job(source=EXPLICIT_LITTLE, layout=layout, options=Options(syntax=uids.J2K_LOSSLESS))
    [made] = device.run([(picture(layout).tobytes(), job)])
    assert isinstance(made, Encoded)
    back = Job(source=uids.J2K_LOSSLESS, layout=made.changes.apply(layout), options=Options(syntax=uids.RLE))
    assert worked(made.data, back, registry.decoder, registry.encoder).data
