"""What transcoding must not lose without a word: values in unused bits, colours, labels, and that pixels were lossy."""

from __future__ import annotations

from dataclasses import replace

import farmside
import imagecodecs
import numpy as np
import oracle
import pytest
import trees

from farm.codecs import jpeg, registry, uids
from farm.deid.mapping import KeyedMapping
from farm.dicom import part10
from farm.dicom.part10 import Limits
from farm.errors import BadInput, Reason
from farm.frames import bits
from farm.frames.codec import Changes, Doubt, Options
from farm.frames.layout import Layout, Samples
from farm.frames.work import carried_out
from farm.pipeline import process
from farm.recipe.recipe import Recipe
from farm.transcoding import instance
from farm.transcoding.frames import together
from farm.transcoding.plan import Action
from farm.transcoding.targets import TARGETS
from tests import images
from tests.images import BYTE, COLOUR, GREY, INLINE, Image, coded, encapsulated, text_of, to, transcoded

LOSSY, RATIO, METHOD = 0x00282110, 0x00282112, 0x00282114
TOLD = (LOSSY, RATIO, METHOD)
WIDE = replace(BYTE, rows=64, columns=64)
DEEP = replace(GREY, rows=64, columns=64)
CT = trees.text(0x00080016, b"1.2.840.10008.5.1.4.1.1.2\0")
IN_BITS = "something stands in unused bits of its samples"


def reason(data: bytes, name: str, **rest: object) -> Reason:
    """Return why a file is refused."""
    with pytest.raises(BadInput) as refused:
        transcoded(data, name, **rest)
    return refused.value.reason


def value_of(data: bytes) -> bytes:
    """Return the value of Pixel Data."""
    value = images.elements(data)[oracle.PIXELS].value
    assert isinstance(value, bytes)
    return value


# Losses that nothing but the bitstream tells of.


@pytest.mark.parametrize("name", images.LOSSY)
def test_a_loss_that_only_the_frames_tell_of_is_said(name: str) -> None:
    """Lost: what a codec has spoilt would pass for an original as soon as it is in another transfer syntax."""
    layout = DEEP if name == "jpeg-extended" else WIDE
    data = to(Image(layout=layout, frames=images.slope(layout, 2)).file(), name)
    silent = without(data)
    for target in ("native", "htj2k-lossless", "rle"):
        made = to(silent, target)
        assert [text_of(made, tag) for tag in (LOSSY, METHOD)] == [text_of(data, tag) for tag in (LOSSY, METHOD)]
        # Frames are padded, and JPEG within JPEG XL is smaller than what was said of JPEG.
        assert float(text_of(made, RATIO) or 0) == pytest.approx(float(text_of(data, RATIO) or 0), rel=0.07), target
        assert text_of(made, 0x00080018) == text_of(data, 0x00080018)
    other = "j2k" if name == "jpeg-ls-near" else "jpeg-ls-near"
    again = to(silent, other, again=True)
    methods, ratios = (str(text_of(again, tag)).split("\\") for tag in (METHOD, RATIO))
    assert methods == [text_of(data, METHOD), "ISO_15444_1" if other == "j2k" else "ISO_14495_1"]
    assert ratios[0] == text_of(to(silent, "native"), RATIO)
    assert len(ratios) == 2


def without(data: bytes) -> bytes:
    """Return a file that tells of no loss."""
    found = images.elements(data)
    syntax = images.read(data).file_meta.TransferSyntaxUID
    return trees.meta(syntax=syntax.encode()) + trees.encode(
        [element for tag, element in found.items() if tag not in TOLD]
    )


def test_what_may_be_lossy_and_is_not_says_nothing() -> None:
    """Lost: an original would be told to be spoilt, and no reader would measure in it any more."""
    streams, layout = coded("j2k-lossless", GREY, images.noise(GREY))
    exact, after = coded("jpeg-ls-lossless", GREY, images.noise(GREY))
    packed, last = coded("jpeg-xl-lossless", GREY, images.noise(GREY))
    said = trees.text(LOSSY, b"00")
    for data in (
        encapsulated(uids.J2K, layout, streams),
        encapsulated(uids.JPEG_LS_NEAR, after, exact),
        encapsulated(uids.JPEG_XL, last, packed, said),
    ):
        assert text_of(to(data, "native"), LOSSY) in {None, "00"}


def test_a_method_that_was_not_told_is_filled_in() -> None:
    """Lost: an image would say that it is lossy, and of only one of two methods (PS3.3 C.7.6.1.1.5)."""
    streams, layout = coded("j2k", WIDE, images.slope(WIDE))
    made = to(encapsulated(uids.J2K, layout, streams, trees.text(LOSSY, b"01")), "htj2k", again=True)
    assert text_of(made, METHOD) == "ISO_15444_1\\ISO_15444_15"
    assert str(text_of(made, RATIO)).count("\\") == 1
    own = (trees.text(LOSSY, b"01"), trees.text(RATIO, b"12"), trees.text(METHOD, b"OWN_METHOD"))
    made = to(encapsulated(uids.J2K, layout, streams, *own), "native")
    assert (text_of(made, RATIO), text_of(made, METHOD)) == ("12", "OWN_METHOD")


def test_what_is_so_of_one_frame_is_so_of_the_instance() -> None:
    """Lost: an image of which one frame is spoilt would be refused, or pass for exact."""
    said = together([Changes(), Changes(lost="ISO_15444_1"), Changes(doubt=Doubt.BITS)])
    assert said == Changes(lost="ISO_15444_1", doubt=Doubt.BITS)


# Values that are no picture.


@pytest.mark.parametrize("sop_class", ["66.4", "66.7", "481.2", "30"])
@pytest.mark.parametrize("name", images.LOSSY)
def test_labels_and_quantities_are_not_made_lossy(name: str, sop_class: str) -> None:
    """Lost: most labels of a segmentation would become others, and a dose be a little wrong everywhere."""
    uid = f"1.2.840.10008.5.1.4.1.1.{sop_class}".encode()
    named = trees.text(0x00080016, uid + b"\0" * (len(uid) % 2))
    layout = DEEP if name == "jpeg-extended" else WIDE
    data = Image(layout=layout, frames=images.slope(layout)).file(named)
    for again in (False, True):
        made = transcoded(data, name, again=again)
        assert (made.why, images.joined(made)) == ("its values are no picture", data)
    assert transcoded(data, "htj2k-lossless").action is Action.ENCODE


def test_indices_into_a_palette_are_not_made_lossy() -> None:
    """Lost: an index that is almost right is another colour."""
    assert not [row for row in registry.table() if row.claim and not row.claim.lossless and _palette(row.claim.colours)]


def _palette(colours: tuple[str, ...]) -> bool:
    return "PALETTE COLOR" in colours


# Unused bits.

STRAYS: dict[str, tuple[Layout, list[int], bool]] = {
    "padding of an unsigned value": (GREY, [63536, 5000], True),
    "padding of a signed value": (replace(GREY, signed=True), [-32768, -3000], True),
    "a bit below the value": (replace(GREY, high_bit=15), [0x0011, 0x7FF1], True),
    "zeros above a negative value": (replace(GREY, signed=True), [0x0FFF, 0x0800], False),
    "copies of the sign": (replace(GREY, signed=True), [-2048, -1], False),
    "copies of what is no sign": (GREY, [0xFFFF], True),
}


@pytest.mark.parametrize("case", STRAYS)
@pytest.mark.parametrize("name", ["explicit", "big", "implicit"])
def test_what_stands_in_unused_bits_of_native_samples_is_not_lost(case: str, name: str) -> None:
    """Lost: padding that a vendor wrote over all bits would become values of the image, for ever and unproved."""
    layout, strays, doubtful = STRAYS[case]
    frame = images.noise(layout)[0].astype("i4") << (layout.high_bit - 11)
    frame.reshape(-1)[: len(strays)] = strays
    order = ">" if name == "big" else "<"
    pixels = trees.text(oracle.PIXELS, (frame & 0xFFFF).astype(f"{order}u2").tobytes(), "OW")
    image = Image(layout=layout, frames=images.noise(layout), name=name)
    data = image.file(pixels)
    for target in ("htj2k-lossless", "rle", "jpeg-ls-near" if not layout.signed else "encapsulated"):
        made = transcoded(data, target)
        assert made.action is (Action.COPY if doubtful else Action.ENCODE), target
        if doubtful:
            assert made.why == IN_BITS
            assert value_of(images.joined(made)) == value_of(data)
            assert reason(data, target, refuse=True) is Reason.PIXELS_UNDECODABLE


@pytest.mark.parametrize("name", ["rle", "deflated-frames", "encapsulated", "jpeg-ls-lossless", "j2k-lossless"])
@pytest.mark.parametrize("signed", [False, True])
def test_what_stands_in_unused_bits_of_coded_samples_is_not_lost(name: str, *, signed: bool) -> None:
    """Lost: the same where a codec was told of more bits than Bits Stored."""
    full = replace(GREY, bits_stored=16, high_bit=15, signed=signed)
    frame = (images.noise(GREY)[0].astype("i4") - 2048 * signed).astype(full.dtype)
    inside, _ = coded(name, full, [frame])
    assert (
        transcoded(encapsulated(TARGETS[name], replace(GREY, signed=signed), inside), "native").why == "it is encoded"
    )
    frame[0, :2] = (-32768, 2500) if signed else (63536, 5000)
    streams, _ = coded(name, full, [frame])
    data = encapsulated(TARGETS[name], replace(GREY, signed=signed), streams)
    for target in ("native", "htj2k-lossless"):
        made = transcoded(data, target)
        assert (made.why, images.joined(made)) == (IN_BITS, data)
        assert reason(data, target, refuse=True) is Reason.PIXELS_UNDECODABLE


def test_a_lossy_step_over_the_bounds_is_no_doubt() -> None:
    """Lost: sound lossy images would be left, because a codec goes a little beyond the brightest value."""
    bright = np.full(DEEP.shape, 4095, "u2")
    bright[::2, ::3] = 0
    for name in ("j2k", "htj2k", "jpeg-xl", "jpeg-ls-near"):
        codec = registry.encoder(TARGETS[name])
        wide = codec.encode(bright, replace(DEEP, bits_stored=16, high_bit=15), Options(syntax=TARGETS[name]))
        data = encapsulated(TARGETS[name], DEEP, [wide.data])
        assert transcoded(data, "native").action is Action.ENCODE, name


@pytest.mark.parametrize("width", [8, 16, 32])
def test_strays_are_told_for_cells_of_any_width(width: int) -> None:
    """Lost: the check could miss the highest bit of a cell, or see one where there is none."""
    for signed in (False, True):
        for stored in range(1, width):
            form = Layout(
                rows=1, columns=1, bits_allocated=width, bits_stored=stored, high_bit=stored - 1, signed=signed
            )
            word = f"u{width // 8}"
            for number in {0, 1 << stored - 1, (1 << stored) - 1, 1 << stored, 1 << width - 1, (1 << width) - 1}:
                top, negative = number >> stored, number >> stored - 1 & 1
                copies = ((1 << width - stored) - 1) * negative
                cells: Samples = np.array([[number]], word).view(form.dtype)
                assert bits.strays(cells, form) == (top not in ({0, copies} if signed else {0})), (form, number)


def test_a_copy_for_unused_bits_is_de_identified() -> None:
    """Lost: an instance left in its transfer syntax would be released as it came, or under a wrong syntax."""
    frame = images.noise(GREY)[0]
    frame[0, 0] = 63536
    for name, syntax in (("explicit", "native"), ("implicit", "native"), ("big", None)):
        order = ">" if name == "big" else "<"
        pixels = trees.text(oracle.PIXELS, frame.astype(f"{order}u2").tobytes(), "OW")
        secret = trees.text(0x00100010, b"ZQ000001QZ")
        data = Image(layout=GREY, frames=[frame], name=name).file(CT, secret, pixels)
        recipe = Recipe.from_dict({"$extends": "basic", "output": {"transfer_syntax": "htj2k"}})
        made = process(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme), transcoder=INLINE)
        output = farmside.joined(made)
        assert made.report.pixels == "copy"
        assert made.report.target_syntax == (TARGETS[syntax] if syntax else trees.UIDS["big"].decode())
        assert b"ZQ000001QZ" not in output
        assert images.read(output).PixelData == images.read(data).PixelData
        strict = Recipe.from_dict(
            {"$extends": "basic", "output": {"transfer_syntax": "htj2k"}, "coding": {"unable": "quarantine"}}
        )
        with pytest.raises(BadInput) as held:
            process(data, strict, KeyedMapping(farmside.KEY, strict.scheme), transcoder=INLINE)
        assert held.value.reason is Reason.PIXELS_UNDECODABLE


# Colours.


def frame_of(colours: str, **how: object) -> bytes:
    """Return a JPEG frame that was told its colours."""
    pixels = images.slope(replace(COLOUR, rows=64, columns=64))[0]
    return bytes(imagecodecs.jpeg8_encode(pixels, 95, colorspace="rgb", outcolorspace=colours, **how))  # type: ignore[arg-type]


def bare(stream: bytes) -> bytes:
    """Return a JPEG frame without the markers of JFIF and Adobe."""
    at = 2
    while stream[at : at + 2] in {b"\xff\xe0", b"\xff\xee"}:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return stream[:2] + stream[at:]


def test_colours_that_contradict_each_other_are_left_to_those_who_know() -> None:
    """Lost: luminance and chrominance would be called red, green and blue, and the mark that told better be gone."""
    layout = replace(COLOUR, rows=64, columns=64)
    chrominance, plain = frame_of("ycbcr", subsampling="444"), frame_of("rgb")
    numbered = bare(chrominance)
    cases = [
        (chrominance, "RGB", True),
        (frame_of("ycbcr", subsampling="422"), "RGB", True),
        (bare(frame_of("ycbcr", subsampling="422")), "RGB", True),
        (plain, "YBR_FULL", True),
        (plain, "YBR_FULL_422", True),
        (plain, "RGB", False),
        (numbered, "RGB", False),
        (numbered, "YBR_FULL", False),
        (chrominance, "YBR_FULL", False),
        (chrominance, "YBR_FULL_422", False),
    ]
    for stream, photometric, doubtful in cases:
        data = encapsulated(uids.JPEG_BASELINE, replace(layout, photometric=photometric), [stream])
        made = transcoded(data, "native")
        assert (made.action is Action.COPY) == doubtful, (photometric, stream[:30])
        if doubtful:
            assert made.why == "its attributes and its frames tell of different colours"
            assert reason(data, "native", refuse=True) is Reason.PIXELS_UNDECODABLE
            assert transcoded(data, "jpeg-xl-jpeg").action is Action.REWRITE  # the mark goes along
    read = jpeg.CODEC.decode(chrominance, replace(layout, photometric="RGB"))
    assert read.changes.doubt is Doubt.COLOURS


# The limit.


def test_the_limit_of_a_frame_is_the_one_that_was_set() -> None:
    """Lost: a setting would be passed over, and a frame too large for it be copied as if it were none."""
    data = Image(layout=GREY, frames=images.noise(GREY)).file()

    def made(limit: int, **rest: object) -> instance.Transcoded:
        one = instance.opened(data, images.wanted("rle", **rest), Limits(frame_bytes=limit))
        return instance.finished(one, carried_out(one.work, INLINE) if one.work else None, part10.deflated)

    assert made(GREY.size).action is Action.ENCODE
    small = made(GREY.size - 1)
    assert (small.action, small.why) == (Action.COPY, "its frames are larger than the limit")
    with pytest.raises(BadInput) as refused:
        made(GREY.size - 1, refuse=True)
    assert refused.value.reason is Reason.PIXELS_TOO_LARGE
    raised = replace(GREY, rows=40_000, columns=40_000)
    large = Image(layout=raised, frames=images.noise(GREY)).file()
    with pytest.raises(BadInput) as short:  # it is looked at, and has not as many pixels
        instance.opened(large, images.wanted("rle"), Limits(frame_bytes=9_000_000_000))
    assert short.value.reason is Reason.PIXEL_LENGTH


def test_what_cannot_be_described_is_refused_where_that_is_asked() -> None:
    """Lost: `--refuse` would let pass what is not in the transfer syntax that was asked for."""
    sound = Image(layout=GREY, frames=images.noise(GREY))
    data = sound.file(trees.text(0x00280100, b"\x0c\0", "US"))
    assert transcoded(data, "rle").why == "what describes its frames cannot be true"
    assert reason(data, "rle", refuse=True) is Reason.PIXELS_UNDECODABLE
    drawn = sound.file(trees.text(0x60000100, b"\x10\0", "US"), trees.text(0x60000102, b"\x0f\0", "US"))
    assert transcoded(drawn, "rle").why == IN_BITS
    assert reason(drawn, "rle", refuse=True) is Reason.PIXELS_UNDECODABLE
    none = sound.file(without=(oracle.PIXELS,))
    assert transcoded(none, "rle", refuse=True).why == "it has no Pixel Data"
