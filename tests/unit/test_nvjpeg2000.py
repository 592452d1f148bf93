"""JPEG 2000 on a device: what it is given, in which batches, and that whatever it does wrong is handed back."""

from __future__ import annotations

from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from fake_device import FakeLibrary, shifted, without_tile_lengths
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import htj2k, j2k_markers, jpeg2000, nvjpeg2000, nvlibrary, registry, uids
from farm.codecs.nvbatch import Made
from farm.codecs.nvjpeg2000 import CLAIMS, Device, cut, serves
from farm.codecs.nvlibrary import Absent
from farm.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.errors import BadInput
from farm.frames.codec import Decoded, Encoded, Options, Region
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job
from farm.transcoding.frames import blanked, worked
from tests.suites.codec_suite import layout_of, picture

SIZE = (48, 64)
GREY = layout_of(12, SIZE, "MONOCHROME2")
SIDES = (EXPLICIT_LITTLE, EXPLICIT_BIG, *CLAIMS)


def coded(layout: Layout, source: str, seed: int = 0) -> tuple[bytes, Layout]:
    """Return a frame in a transfer syntax, and what attributes say of it then."""
    encoded = registry.encoder(source).encode(picture(layout, seed), layout, Options(syntax=source))
    return encoded.data, encoded.changes.apply(layout)


def job(source: str, target: str | None, layout: Layout, **more: object) -> Job:
    """Return the job to bring frames from one transfer syntax into another."""
    options = None if target is None else Options(syntax=target)
    return Job(source=source, layout=layout, options=options, **more)  # type: ignore[arg-type]


def units(count: int, source: str, target: str | None, layout: Layout = GREY) -> list[tuple[bytes, Job]]:
    """Return frames, each another, of as many instances."""
    frames = (coded(layout, source, seed) for seed in range(count))
    return [(data, job(source, target, written)) for data, written in frames]


def read_back(made: Made | None, work: Job) -> Samples:
    """Return the samples that were made, as the processor's codecs read them."""
    if isinstance(made, Decoded):
        return made.samples
    assert isinstance(made, Encoded)
    assert work.options is not None
    return registry.decoder(work.options.syntax).decode(made.data, made.changes.apply(work.layout)).samples


@pytest.mark.parametrize("source", SIDES)
@pytest.mark.parametrize("target", [None, *SIDES])
@pytest.mark.parametrize(
    "layout",
    [
        GREY,
        layout_of(8, SIZE, "RGB"),
        layout_of(16, SIZE, "MONOCHROME2", signed=True),
        layout_of(8, SIZE, "MONOCHROME1", allocated=16),
    ],
    ids=["grey", "colour", "signed", "wide"],
)
def test_what_a_device_makes_is_what_a_processor_makes(source: str, target: str | None, layout: Layout) -> None:
    """Lost: an instance would say something else of the same pixels, by which queue it happened to take."""
    frame, written = coded(layout, source)
    work = job(source, target, written, blank=(Region(3, 5, 7, 9),))
    [made] = Device(0, library=FakeLibrary()).run([(frame, work)])
    if not serves(work):
        assert made is None
        assert {source, target} <= {EXPLICIT_LITTLE, EXPLICIT_BIG, None}
        return
    assert made is not None
    expected = worked(frame, work, registry.decoder, registry.encoder)
    assert replace(made.changes, lossy_ratio=None) == replace(expected.changes, lossy_ratio=None)
    read = registry.decoder(source).decode(frame, written)
    before = blanked(read.samples, work.blank, read.changes.apply(written))
    after = read_back(made, work)
    if target in {uids.J2K, uids.HTJ2K}:
        assert np.abs(after.astype(int) - before).mean() < (layout.bounds[1] - layout.bounds[0]) / 100
    else:
        assert (after == before).all()


def test_what_is_not_served() -> None:
    """Lost: a device would be given what it has no way to do, or does wrong without a word."""
    assert serves(job(uids.J2K, uids.HTJ2K_LOSSLESS, GREY))
    refused = [
        job(EXPLICIT_LITTLE, IMPLICIT_LITTLE, GREY),
        job(EXPLICIT_LITTLE, None, GREY),
        job(uids.RLE, uids.J2K_LOSSLESS, GREY),
        job(uids.J2K, uids.JPEG_LS, GREY),
        job(uids.J2K, None, layout_of(7, SIZE, "MONOCHROME2")),
        job(uids.J2K, None, layout_of(8, SIZE, "MONOCHROME2", signed=True)),
        job(uids.J2K, None, layout_of(17, SIZE, "MONOCHROME2")),
        job(uids.J2K, None, layout_of(12, (31, 500), "MONOCHROME2")),
        job(uids.J2K, None, layout_of(8, SIZE, "YBR_FULL")),
        job(EXPLICIT_LITTLE, uids.J2K, layout_of(8, SIZE, "PALETTE COLOR")),
        job(EXPLICIT_LITTLE, uids.J2K_LOSSLESS, replace(layout_of(8, SIZE, "RGB"), photometric="YBR_FULL_422")),
    ]
    assert [one for one in refused if serves(one)] == []
    assert serves(job(EXPLICIT_LITTLE, uids.J2K_LOSSLESS, layout_of(8, SIZE, "YBR_FULL")))


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 300), st.integers(1, 20))
def test_batches_keep_order_and_budget(needs: list[int], budget: int, most: int) -> None:
    """Law: batches together are all frames in order, and none of more than one frame is over the budget."""
    parts = list(cut(needs, budget, most))
    assert [at for part in parts for at in range(part.start, part.stop)] == list(range(len(needs)))
    for part in parts:
        held = needs[part]
        assert 1 <= len(held) <= most
        assert len(held) == 1 or sum(held) <= budget


def test_a_small_budget_makes_small_batches() -> None:
    """Lost: a device with little memory, or shared with others, would fail where it could work."""
    frames = units(7, uids.J2K_LOSSLESS, uids.HTJ2K_RPCL)
    need = GREY.size * nvjpeg2000._PLANES + max(len(frame) for frame, _ in frames)
    library = FakeLibrary()
    assert all(Device(0, 2 * need, library).run(frames))
    assert library.encoded[-4:] == [2, 2, 2, 1]
    assert Device(0, need // 2, FakeLibrary()).run(frames) == [None] * 7


def test_want_of_memory_halves_the_batch() -> None:
    """Lost: one estimate that was too low would send a whole batch to the processor."""
    frames = units(8, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS)
    library = FakeLibrary(room=3 * GREY.size)
    made = Device(0, library=library).run(frames)
    assert all(made)
    assert (library.freed, library.encoded[-4:]) == (3, [2, 2, 2, 2])
    for result, (frame, work) in zip(made, frames, strict=True):
        assert (read_back(result, work) == jpeg2000.CODEC.decode(frame, work.layout).samples).all()


def test_one_frame_that_is_refused_is_handed_back_alone() -> None:
    """Lost: a frame that the device cannot read would take its whole batch with it, or pass for another."""
    frames = units(5, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS)
    library = FakeLibrary(refuses=lambda one: isinstance(one, bytes) and one == frames[2][0])
    assert [made is None for made in Device(0, library=library).run(frames)] == [False, False, True, False, False]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"SECRET",
        coded(GREY, uids.J2K_LOSSLESS)[0][:-40],
        coded(layout_of(12, (50, 64), "MONOCHROME2"), uids.J2K_LOSSLESS)[0],
    ],
    ids=["empty", "no code stream", "cut off", "another size"],
)
def test_what_is_no_frame_goes_to_the_processor(frame: bytes) -> None:
    """Lost: a broken frame would fail a batch of sound ones, or be told in the words of a library."""
    [good, broken] = Device(0, library=FakeLibrary()).run(
        [*units(1, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS), (frame, job(uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS, GREY))]
    )
    assert (good is None, broken) == (False, None)


def test_a_device_that_fails_its_trial_is_given_nothing_of_the_kind() -> None:
    """Lost: a library that scales 12 bits to 16 would do so to every instance, and each would be proved against it."""
    twelve, eight = units(2, uids.J2K_LOSSLESS, EXPLICIT_LITTLE), layout_of(8, SIZE, "MONOCHROME2")
    library = FakeLibrary(spoils=lambda samples: shifted(samples) if samples.dtype == "u2" else samples)
    device = Device(0, library=library)
    assert device.run(twelve) == [None, None]
    assert all(device.run(units(2, uids.J2K_LOSSLESS, EXPLICIT_LITTLE, eight)))
    calls = len(library.decoded)
    assert device.run(twelve) == [None, None]
    assert len(library.decoded) == calls


def test_a_frame_whose_proof_fails_is_handed_back() -> None:
    """Lost: a device that errs on one frame in a million would change that one."""
    frames = units(3, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS)
    library = FakeLibrary()
    device = Device(0, library=library)
    assert all(device.run(frames))
    seen: list[int] = []

    def second_of_the_proof(samples: Samples) -> Samples:
        seen.append(len(seen))
        return samples ^ 1 if len(seen) == 5 else samples

    library.spoils = second_of_the_proof
    assert [made is None for made in device.run(frames)] == [False, True, False]
    library.spoils = lambda samples: samples ^ 1  # without a proof nobody would know
    assert all(device.run([(frame, replace(work, prove=False)) for frame, work in frames]))


def test_a_lost_device_is_not_asked_again() -> None:
    """Lost: after an error that is for good, every frame would wait for the next one, and a log fill with them."""
    library = FakeLibrary()
    device = Device(0, library=library)
    frames = units(4, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS)
    assert all(device.run(frames))
    library.lives = 1
    assert device.run(frames) == [None] * 4
    assert device.lost
    calls = len(library.decoded)
    assert device.run(frames) == [None] * 4
    assert len(library.decoded) == calls


def test_a_device_that_is_lost_in_a_trial_is_lost() -> None:
    """Lost: a device that dies of the first thing it is asked would be asked for every other kind as well."""
    library = FakeLibrary(lives=1)
    device = Device(0, library=library)
    assert device.run(units(2, uids.J2K_LOSSLESS, None)) == [None, None]
    assert device.lost


def test_samples_stay_on_the_device() -> None:
    """Lost: the way through host memory costs more than what the device saves."""
    library = FakeLibrary()
    device = Device(0, library=library)
    frames = units(3, uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS)
    device.run(frames)  # the trials bring their pictures up
    before = library.uploads, library.downloads
    assert all(device.run(frames))
    assert (library.uploads, library.downloads) == before


def test_htj2k_is_read_of_those_who_write_one_pass() -> None:
    """Lost: refinement passes, which nvJPEG2000 leaves out without an error, would be left out of the archive."""
    frame, written = coded(GREY, uids.HTJ2K_LOSSLESS)
    assert frame.count(b"OpenJPH") == 1
    other = frame.replace(b"OpenJPH", b"Another")
    device = Device(0, library=FakeLibrary())
    work = job(uids.HTJ2K_LOSSLESS, uids.J2K_LOSSLESS, written)
    assert [made is None for made in device.run([(frame, work), (other, work)])] == [False, True]


def test_components_without_a_transform_are_not_read() -> None:
    """Lost: a decoder that is told nothing of colours may take them for YCbCr, and turn them."""
    layout = layout_of(8, SIZE, "RGB")
    plain = bytes(imagecodecs.jpeg2k_encode(picture(layout), 0, codecformat="j2k", reversible=True, mct=False))
    assert Device(0, library=FakeLibrary()).run([(plain, job(uids.J2K, None, layout))]) == [None]


def test_rpcl_has_its_tile_lengths() -> None:
    """Lost: a stream would be called .202 that readers cannot take resolutions from (PS3.5 A.4.14)."""
    [made] = Device(0, library=FakeLibrary()).run(units(1, EXPLICIT_LITTLE, uids.HTJ2K_RPCL))
    assert isinstance(made, Encoded)
    header = j2k_markers.read(made.data)
    assert header.serves_rpcl(*SIZE)
    assert (imagecodecs.htj2k_decode(made.data) == picture(GREY)).all()


def test_tile_lengths_are_those_of_another_encoder() -> None:
    """Lost: the segment could be ours alone to understand (T.800 A.7.1)."""
    words = (picture(layout_of(12, (300, 200), "MONOCHROME2")),)
    for samples in words:
        theirs = bytes(imagecodecs.htj2k_encode(samples, None, reversible=True, resolutions=5, tlm=True))
        bare = bytes(imagecodecs.htj2k_encode(samples, None, reversible=True, resolutions=5, tlm=False))
        assert j2k_markers.with_tile_lengths(bare) == theirs
        assert j2k_markers.with_tile_lengths(theirs) == theirs
        assert without_tile_lengths(theirs) == bare


@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 255))
def test_broken_headers_are_bad_input(noise: bytes, at: int, value: int) -> None:
    """Law: whatever stands where a code stream should, reading its headers ends, and with `BadInput` if at all."""
    stream = bytearray(coded(GREY, uids.HTJ2K_RPCL)[0])
    stream[at] = value
    for data in (noise, bytes(stream), b"\xff\x4f\xff\x51" + noise):
        try:
            j2k_markers.with_tile_lengths(data)
            j2k_markers.read(data)
        except BadInput:
            pass


def test_why_not_is_one_line_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever wonders why nothing runs on the device would read a traceback, or nothing."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(nvlibrary.importlib, "import_module", absent)
    assert nvjpeg2000.why_not() == "CuPy is not installed: pip install 'dicom-farm[gpu]'"
    with pytest.raises(Absent):
        Device(0)


def test_why_not_names_the_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the texts of CUDA's errors, with places of other people's machines, would stand in ours."""

    class Runtime:
        @staticmethod
        def getDeviceCount() -> int:  # noqa: N802 - CUDA's name
            raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient at /home/someone")

    class Module:
        __version__ = "0.9.0"
        cuda = type("cuda", (), {"runtime": Runtime})

    monkeypatch.setattr(nvlibrary.importlib, "import_module", lambda _: Module)
    assert nvjpeg2000.why_not() == "CUDA finds no device: cudaErrorInsufficientDriver"
    Module.__version__ = "0.8.1"
    assert nvjpeg2000.why_not() == "nvImageCodec 0.8.1 is too old: 0.9 is needed"


def test_claims_are_of_syntaxes_that_the_processor_has() -> None:
    """Lost: what a device hands back would have nobody to do it."""
    for uid, claim in CLAIMS.items():
        ours = registry.encoder(uid).encodes[uid]
        assert set(claim.colours) <= set(ours.colours)
        assert ours.bits[0] <= claim.bits[0] <= claim.bits[1] <= ours.bits[1]
        assert claim.lossless == ours.lossless
    assert {htj2k.CODEC.name, jpeg2000.CODEC.name} == {registry.encoder(uid).name for uid in CLAIMS}
