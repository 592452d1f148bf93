"""Images of any layout, written plainly on the oracle's encoder, transcoded, and read back by pydicom.

Nothing here shares code with what it tests: native Pixel Data is made by numpy from PS3.5 section 8.1.1, encapsulated
Pixel Data by hand, and what comes out is read by pydicom or by the oracle.
"""

from __future__ import annotations

import io
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import basic_oracle
import numpy as np
import oracle
import pydicom
import trees
from hypothesis import strategies as st
from oracle import Element
from pydicom.pixels import pixel_array

from farm.codecs import registry
from farm.dicom import part10
from farm.dicom.part10 import Limits
from farm.errors import BadInput
from farm.frames.codec import Options
from farm.frames.layout import Layout, Order, Samples
from farm.frames.work import Transcoder
from farm.transcoding import instance
from farm.transcoding.frames import Inline
from farm.transcoding.instance import Transcoded
from farm.transcoding.plan import VIDEO
from farm.transcoding.targets import TARGETS, Wanted

INLINE = Inline(registry.decoder, registry.encoder)
_CLAIMS = {row.uid: row.claim for row in registry.table() if row.claim and row.uid not in VIDEO}
LOSSLESS = tuple(name for name, uid in TARGETS.items() if uid in _CLAIMS and _CLAIMS[uid].lossless)
LOSSY = tuple(name for name, uid in TARGETS.items() if uid in _CLAIMS and not _CLAIMS[uid].lossless)
"""Targets that lose nothing, and something; without video."""
GREY = Layout(rows=6, columns=7, bits_allocated=16, bits_stored=12, high_bit=11)
COLOUR = Layout(rows=6, columns=8, samples=3, bits_allocated=8, bits_stored=8, high_bit=7, photometric="RGB")
BYTE = Layout(rows=16, columns=16, bits_allocated=8, bits_stored=8, high_bit=7)
_COUNT = 0x00280008


def noise(layout: Layout, count: int = 1, seed: int = 0) -> list[Samples]:
    """Return frames of random samples within their bounds; where chrominance is shared, pairs of pixels have one."""
    random = np.random.default_rng(seed)
    low, high = layout.bounds
    frames = [random.integers(low, high, layout.shape, layout.dtype, endpoint=True) for _ in range(count)]
    if layout.photometric == "YBR_FULL_422":
        for frame in frames:
            frame[:, 1::2, 1:] = frame[:, ::2, 1:]
    return frames


def slope(layout: Layout, count: int = 1) -> list[Samples]:
    """Return frames that are smooth, so that a lossy syntax loses little."""
    low, high = layout.bounds
    ramp = np.add.outer(np.linspace(0.2, 0.6, layout.rows), np.linspace(0, 0.2, layout.columns))
    ramp = ramp if layout.samples == 1 else np.stack([ramp, ramp * 0.8, ramp * 0.6], axis=-1)
    return [(low + (ramp + 0.01 * number) * (high - low)).astype(layout.dtype) for number in range(count)]


def native(layout: Layout, frames: Sequence[Samples], order: Order = "little", vr: str = "OW") -> bytes:
    """Return native Pixel Data (PS3.5 8.1.1, 8.2 and annex B)."""
    if layout.bits_allocated == 1:
        value = np.packbits(np.concatenate([frame.reshape(-1) for frame in frames]), bitorder="little").tobytes()
    else:
        value = b"".join(_cells(layout, frame).astype(_cell(layout, order)).tobytes() for frame in frames)
    value += b"\0" * (len(value) % 2)
    if order == "big" and vr == "OW" and layout.bits_allocated <= 8:
        value = np.frombuffer(value, "u2").byteswap().tobytes()
    return value


def _cell(layout: Layout, order: Order) -> np.dtype[np.integer]:
    return layout.dtype.newbyteorder("<" if order == "little" else ">")


def _cells(layout: Layout, frame: Samples) -> Samples:
    frame = frame << (layout.high_bit + 1 - layout.bits_stored)
    if layout.photometric == "YBR_FULL_422":
        pairs = frame.reshape(layout.rows, layout.columns // 2, 2, 3)
        return np.concatenate([pairs[..., 0], pairs[..., 0, 1:]], axis=-1)
    return frame.transpose(2, 0, 1) if layout.planar and layout.samples > 1 else frame


def described(layout: Layout, count: int = 1, order: Order = "little") -> list[Element]:
    """Return what the attributes say of frames."""

    def short(tag: int, value: int) -> Element:
        return trees.text(tag, value.to_bytes(2, order), "US")

    number = str(count).encode()
    found = [
        short(0x00280002, layout.samples),
        trees.text(0x00280004, layout.photometric.encode() + b" " * (len(layout.photometric) % 2)),
        trees.text(_COUNT, number + b" " * (len(number) % 2)),
        short(0x00280010, layout.rows),
        short(0x00280011, layout.columns),
        short(0x00280100, layout.bits_allocated),
        short(0x00280101, layout.bits_stored),
        short(0x00280102, layout.high_bit),
        short(0x00280103, int(layout.signed)),
    ]
    if layout.samples > 1:
        found.append(short(0x00280006, layout.planar))
    if layout.photometric == "PALETTE COLOR":
        lut = b"".join(n.to_bytes(2, order) for n in range(0, 512, 2))
        shape = b"".join(n.to_bytes(2, order) for n in (256, 0, 16))
        found += [trees.text(0x00281101 + n, shape, "US") for n in range(3)]
        found += [trees.text(0x00281201 + n, lut, "OW") for n in range(3)]
    return found


def changed(elements: Sequence[Element], *new: Element, without: Sequence[int] = ()) -> list[Element]:
    """Return elements with others in their places, or without some, in tag order."""
    gone = {element.tag for element in new} | set(without)
    return trees.in_order([*(element for element in elements if element.tag not in gone), *new])


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image to be: its layout and frames, and how its file is written."""

    layout: Layout
    frames: Sequence[Samples] = field(repr=False)
    name: str = "explicit"
    vr: str = "OW"

    def file(self, *new: Element, without: Sequence[int] = (), behind: bytes = b"") -> bytes:
        """Return the file, with other elements in places of their own, and bytes behind the data set."""
        how = trees.SYNTAXES.get(self.name, oracle.EXPLICIT)
        order: Order = "big" if how == oracle.BIG else "little"
        value = native(self.layout, self.frames, order, self.vr)
        pixels = trees.text(oracle.PIXELS, value, self.vr)
        elements = [*trees.identity(), *described(self.layout, len(self.frames), order), pixels]
        body = trees.encode(changed(elements, *new, without=without), how) + behind
        if self.name == "deflated":
            stream = zlib.compressobj(wbits=-15)
            body = stream.compress(body) + stream.flush()
        return trees.meta(syntax=trees.UIDS[self.name]) + body


def item(value: bytes) -> bytes:
    """Return an item: a fragment, or the Basic Offset Table."""
    return bytes.fromhex("feff00e0") + len(value).to_bytes(4, "little") + value


def encapsulated(  # noqa: PLR0913 - all that can be wrong with it
    syntax: str,
    layout: Layout,
    fragments: Sequence[bytes],
    *new: Element,
    count: int = 1,
    table: bytes = b"",
    without: Sequence[int] = (),
    behind: bytes = b"",
) -> bytes:
    """Return a file with fragments."""
    value = item(table) + b"".join(item(one + b"\0" * (len(one) % 2)) for one in fragments)
    value += bytes.fromhex("feffdde000000000")
    pixels = Element(oracle.PIXELS, "OB", value, undefined=True)
    elements = changed([*trees.identity(), *described(layout, count), pixels], *new, without=without)
    return trees.meta(syntax=syntax.encode()) + trees.encode(elements) + behind


def coded(name: str, layout: Layout, frames: Sequence[Samples]) -> tuple[list[bytes], Layout]:
    """Return the bitstreams of frames in a target, and the layout that they leave."""
    codec, options = registry.encoder(TARGETS[name]), Options(syntax=TARGETS[name])
    made = [codec.encode(frame, layout, options) for frame in frames]
    return [one.data for one in made], made[0].changes.apply(layout)


def wanted(name: str, **rest: object) -> Wanted:
    """Return what is asked for; an empty name: nothing."""
    return replace(Wanted(syntax=TARGETS.get(name, "")), **rest)  # type: ignore[arg-type]


def transcoded(data: bytes, name: str, transcoder: Transcoder = INLINE, **rest: object) -> Transcoded:
    """Transcode a file; raise what comes of it otherwise."""
    one = instance.opened(data, wanted(name, **rest), Limits())
    result = transcoder.run([one.work])[0] if one.work else None
    if isinstance(result, BadInput):
        raise result
    return instance.finished(one, result, part10.deflated)


def joined(made: Transcoded) -> bytes:
    """Return the bytes of a file."""
    return b"".join(made.segments)


def to(data: bytes, name: str, **rest: object) -> bytes:
    """Transcode a file to its bytes."""
    return joined(transcoded(data, name, **rest))


def elements(data: bytes) -> dict[int, Element]:
    """Return the elements of a file by their tags, as the oracle reads them."""
    return {element.tag: element for element in basic_oracle.read_file(data).elements}


def text_of(data: bytes, tag: int) -> str | None:
    """Return the text of an element, None where it is absent."""
    found = elements(data).get(tag)
    assert found is None or isinstance(found.value, bytes)
    return None if found is None else found.value.decode("ascii").strip("\0 ")


def read(data: bytes) -> pydicom.FileDataset:
    """Return a file as pydicom reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), force=True)  # real files come without a preamble


def samples_of(data: bytes) -> Samples:
    """Return the samples of all frames as pydicom reads them, values at the low end of their bits."""
    found = read(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw: Samples = np.asarray(pixel_array(found, raw=True, correct_unused_bits=False))
    return plain(raw, found.BitsAllocated, found.BitsStored, found.HighBit)


def plain(raw: Samples, allocated: int, stored: int, high: int) -> Samples:
    """Return stored values (PS3.5 8.1.1): the bits below and at High Bit, the sign extended."""
    if allocated == 1:
        return raw
    wide = raw.astype("i8") >> (high + 1 - stored) & (1 << stored) - 1
    if raw.dtype.kind == "i":
        wide = (wide ^ 1 << stored - 1) - (1 << stored - 1)
    return wide.astype(raw.dtype)


def stacked(frames: Sequence[Samples]) -> Samples:
    """Return frames as one array, as pydicom gives them."""
    return frames[0] if len(frames) == 1 else np.stack(frames)


_COLOURS = {
    1: ("MONOCHROME1", "MONOCHROME2"),
    8: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"),
    16: ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"),
    32: ("MONOCHROME1", "MONOCHROME2"),
}


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw any layout that a native image may have, small."""
    allocated = draw(st.sampled_from(sorted(_COLOURS)))
    photometric = draw(st.sampled_from(_COLOURS[allocated]))
    stored = draw(st.one_of(st.just(allocated), st.integers(1, allocated)))
    samples = 3 if photometric[:3] in {"RGB", "YBR"} else 1
    shared = photometric == "YBR_FULL_422"
    signed = allocated > 1 and photometric.startswith("MONO") and draw(st.booleans())
    return Layout(
        rows=draw(st.integers(1, 9)),
        columns=draw(st.integers(1, 9)) * (1 + shared),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=draw(st.sampled_from((stored - 1, allocated - 1))),
        signed=signed,
        photometric=photometric,
        planar=draw(st.integers(0, 1)) if samples > 1 and not shared else 0,
    )


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Draw an image of 1 to 5 frames in any native encoding."""
    layout = draw(layouts())
    return Image(
        layout=layout,
        frames=noise(layout, draw(st.integers(1, 5)), draw(st.integers(0, 1 << 20))),
        name=draw(st.sampled_from(("explicit", "implicit", "big", "deflated"))),
        vr=draw(st.sampled_from(("OB", "OW"))) if layout.bits_allocated <= 8 else "OW",
    )
