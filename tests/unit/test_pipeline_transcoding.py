"""De-identification with another transfer syntax: nothing leaks, losses are told, the gate sees what is released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import farmside
import numpy as np
import oracle
import pytest
import trees
from oracle import Element

from farm.codecs import registry, uids
from farm.codecs.jpegxl import recompressed, restored
from farm.deid.mapping import KeyedMapping
from farm.errors import BadInput, BadRecipe, Reason
from farm.frames.encapsulated import Frame
from farm.frames.work import Result, Transcoder, WhyNot, Work
from farm.pipeline import Product, draft, examine, process, settled
from farm.recipe.recipe import Recipe
from farm.transcoding.targets import TARGETS
from tests import images
from tests.canaries import CHARSETS, Canary, Plan, frames, leaks, plant
from tests.images import BYTE, COLOUR, GREY, INLINE, Image, coded, encapsulated, samples_of

SECRET = b"ZQ000001QZ"
LEFT = ("unlisted/number/", "unlisted/uid/", "unlisted/words/", "palette")
"""What `strict` leaves: numbers, UIDs and samples without a row, no words and no dates."""
WIDE = replace(BYTE, rows=64, columns=64)
CT = trees.text(0x00080016, b"1.2.840.10008.5.1.4.1.1.2\0")
CT_LINK = trees.text(0x00081150, b"1.2.840.10008.5.1.4.1.1.2\0")


def recipe(name: str, base: str = "basic", **changes: Any) -> Recipe:
    """Return a recipe that asks for a transfer syntax."""
    return Recipe.from_dict({"$extends": base, "output": {"transfer_syntax": name}, **changes})


def run(data: bytes, wanted: Recipe, transcoder: Transcoder | None = INLINE) -> Product:
    """De-identify a file under the tests' key."""
    return process(data, wanted, KeyedMapping(farmside.KEY, wanted.scheme), transcoder=transcoder)


def reason(data: bytes, wanted: Recipe, transcoder: Transcoder | None = INLINE) -> Reason:
    """Return why a file is held back."""
    with pytest.raises(BadInput) as held:
        run(data, wanted, transcoder)
    return held.value.reason


def grey(*new: Element, name: str = "explicit", count: int = 2, layout: images.Layout = GREY) -> bytes:
    """Return a file of frames of noise."""
    return Image(layout=layout, frames=images.noise(layout, count), name=name).file(CT, *new)


# Leaks.


def survivors(plan: Plan, outputs: Mapping[str, bytes]) -> list[Canary]:
    """Return the canaries that an output shows and strict has to cover."""
    found = [canary for canaries in leaks(plan, outputs).values() for canary in canaries]
    return [canary for canary in found if not canary.category.startswith(LEFT)]


@pytest.mark.parametrize(
    ("name", "syntax", "files", "actions"),
    [
        ("htj2k-lossless", "encapsulated", 5, {"encode"}),  # every family of compressed frames
        ("jpeg-xl-jpeg", "encapsulated", 1, {"rewrite"}),
        ("deflated", "big", 1, {"encode"}),
    ],
)
def test_no_canary_survives(name: str, syntax: str, files: int, actions: set[str]) -> None:
    """Lost: what a codec's stream carries beside the picture would be released, within another one if need be."""
    plan = Plan(files=plant((syntax,), CHARSETS[:5]).files[:files])
    wanted, outputs, done = recipe(name, "strict"), {}, set()
    for file in plan.files:
        product = run(file.data, wanted)
        outputs[file.name] = farmside.joined(product)
        outputs[f"{file.name}.report"] = repr((product, product.report.to_dict())).encode()
        done.add(product.report.pixels)
        if product.report.pixels == "rewrite":  # JPEG within JPEG XL is packed: what it holds cannot be searched
            outputs[f"{file.name}.jpeg"] = restored(bitstream(outputs[file.name]))
    assert survivors(plan, outputs) == []
    assert done == actions
    assert any(canary.category.startswith(("frame/", "trailing/")) for canary in plan.canaries)


def bitstream(data: bytes) -> bytes:
    """Return the first fragment."""
    value = images.elements(data)[oracle.PIXELS].value
    assert isinstance(value, bytes)
    at = 8 + int.from_bytes(value[4:8], "little")
    return value[at + 8 : at + 8 + int.from_bytes(value[at + 4 : at + 8], "little")]


def test_what_is_rewritten_brings_nothing_along() -> None:
    """Lost: EXIF and comments would hide in JPEG XL, and come back as JPEG, with the owner's name."""
    dirty = frames.jpeg([frames.exif(SECRET), frames.segment(0xFE, SECRET)], behind=SECRET)
    there = run(encapsulated(uids.JPEG_BASELINE, BYTE, [dirty] * 3, CT, count=3), recipe("jpeg-xl-jpeg"))
    assert there.report.pixels == "rewrite"
    stream = restored(bitstream(farmside.joined(there)))
    assert SECRET not in stream
    assert stream == frames.jpeg()[: len(stream)]
    packed = recompressed(frames.jpeg([frames.exif(SECRET)]))
    back = run(encapsulated(uids.JPEG_XL_JPEG, BYTE, [packed] * 2, CT, count=2), recipe("jpeg-baseline"))
    assert back.report.pixels == "rewrite"
    assert SECRET not in farmside.joined(back)
    assert bitstream(farmside.joined(back)) == frames.jpeg()


def test_what_stays_in_its_transfer_syntax_brings_nothing_along() -> None:
    """Lost: EXIF and comments would be released because nothing had to be done for the transfer syntax."""
    dirty = frames.jpeg([frames.exif(SECRET)], behind=SECRET)
    for name in ("jpeg-baseline", "htj2k"):
        made = run(encapsulated(uids.JPEG_BASELINE, BYTE, [dirty] * 2, CT, count=2), recipe(name))
        assert (made.report.pixels, made.report.target_syntax) == ("copy", uids.JPEG_BASELINE)
        assert bitstream(farmside.joined(made)) == frames.jpeg()
        assert SECRET not in farmside.joined(made)


def test_a_frame_that_cannot_be_looked_into_is_not_rewritten() -> None:
    """Lost: what a broken stream carries would go along unseen."""
    broken = frames.jpeg()[:-2] + b"\xff\xfe\0\x40short"
    data = encapsulated(uids.JPEG_BASELINE, BYTE, [broken], CT)
    assert reason(data, recipe("jpeg-xl-jpeg")) is Reason.BAD_STRUCTURE


def test_overlays_in_unused_bits_are_gone_from_the_samples() -> None:
    """Lost: a name drawn in the unused bits would be coded with the samples, or keep them from being coded."""
    samples = images.noise(GREY)
    value = b"".join((sample | 0x8000).astype("<u2").tobytes() for sample in samples)
    drawn = [
        trees.text(0x60000100, b"\x10\0", "US"),
        trees.text(0x60000102, b"\x0f\0", "US"),
        trees.text(oracle.PIXELS, value, "OW"),
        trees.text(0x00280008, b"1 "),
    ]
    for name in ("htj2k-lossless", "native", "rle"):
        made = run(grey(*drawn, count=1), recipe(name))
        output = farmside.joined(made)
        assert 0x60000102 not in images.elements(output)
        assert images.elements(output)[0x00280101].value == b"\x0c\0"
        raw = images.elements(images.to(output, "native"))[oracle.PIXELS].value
        assert np.array_equal(np.frombuffer(raw, "<u2"), samples[0].reshape(-1))  # type: ignore[arg-type]
        assert made.report.pixels == ("copy" if name == "native" else "encode")


# The gate.


@dataclass
class Planting:
    """A transcoder that puts something of its own into what it makes."""

    method: str = ""
    comment: bytes = b""
    batch: int = 1

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Transcode, and plant."""
        made: list[Result | BadInput] = []
        for result in INLINE.run(works):
            assert isinstance(result, Result)
            changes = replace(result.changes, lossy_method=self.method or result.changes.lossy_method)
            streams: list[Frame] = [bytes(stream) + self.comment for stream in result.streams]
            made.append(replace(result, changes=changes, streams=streams))
        return made


def test_the_gate_looks_at_what_is_released() -> None:
    """Lost: what transcoding brings in would be looked at by nobody, because the gate saw the draft."""
    patient = trees.text(0x00100010, b"Quitzow^Adelgunde ")
    data = grey(patient)
    assert run(data, recipe("htj2k-lossless"), Planting()).report.pixels == "encode"
    held = reason(data, recipe("htj2k-lossless"), Planting(method="QUITZOW ADELGUNDE"))
    assert held in {Reason.GATE_WITHHOLD, Reason.GATE_REVIEW}


def test_the_gate_is_given_the_transcoded_data_set() -> None:
    """Lost: a draft that is settled would be examined as it was before."""
    wanted = recipe("deflated")
    data = grey(name="big")
    made = draft(data, wanted, KeyedMapping(farmside.KEY, wanted.scheme))
    assert made.work is not None
    (result,) = INLINE.run([made.work])
    assert isinstance(result, Result)
    whole = settled(made, result)
    examine(whole)
    found, end = oracle.read(body := b"".join(map(bytes, whole.segments)), oracle.EXPLICIT)
    assert end == len(body)
    assert found[-1].value == images.native(GREY, images.noise(GREY, 2))
    assert settled(replace(made, ready=None), result).segments == made.segments


# Losses.


@pytest.mark.parametrize("name", ["htj2k", "jpeg-baseline", "jpeg-ls-near"])
def test_references_lead_to_a_lossy_copy(name: str) -> None:
    """Lost: annotations, series and studies that name an image would name one that is in no lake."""
    data = Image(layout=WIDE, frames=images.slope(WIDE)).file(CT)
    plain, product = run(data, recipe("explicit")).report, run(data, recipe(name))
    report, found = product.report, images.read(farmside.joined(product))
    assert (report.instance, report.path, report.mapped) == (plain.instance, plain.path, plain.mapped)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == report.instance != "1.2.3.4"
    assert (found.LossyImageCompression, found.ImageType[0]) == ("01", "DERIVED")
    named = trees.sequence(0x0008114A, [CT_LINK, trees.text(0x00081155, b"1.2.3.4\0")])
    link = trees.sequence(0x00081115, [named, trees.text(0x0020000E, b"1.2.3.6\0")])
    other = Image(layout=WIDE, frames=images.slope(WIDE)).file(CT, link, trees.text(0x00080018, b"1.2.3.5\0"))
    linked = images.read(farmside.joined(run(other, recipe(name))))
    (named,) = linked.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert named.ReferencedSOPInstanceUID == report.instance != linked.SOPInstanceUID


@pytest.mark.parametrize("name", ["htj2k", "jpeg-baseline", "jpeg-ls-near"])
def test_a_lossy_copy_that_would_keep_its_uid_gets_another_that_leads_back(name: str) -> None:
    """Lost: two instances with different pixels would have one UID, or the way back to the original be lost."""
    data = Image(layout=WIDE, frames=images.slope(WIDE)).file(CT)
    keeping = {"policy": {"options": ["+retain-uids"]}}
    plain, product = run(data, recipe("explicit", **keeping)).report, run(data, recipe(name, **keeping))
    report, found = product.report, images.read(farmside.joined(product))
    assert plain.instance == "1.2.3.4" != report.instance
    assert (report.study, report.series, report.subject) == (plain.study, plain.series, plain.subject)
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID == report.instance
    assert report.path.endswith(f"/{report.instance}.dcm")
    assert (f"1.2.3.4 {name}", report.instance) in report.mapped.uids
    assert report.to_dict().keys().isdisjoint({"mapped"})
    other = recipe(name, coding={"near": 1, "quality": 50, "step": 0.01}, **keeping)
    assert run(data, other).report.instance not in {report.instance, plain.instance}


def test_a_lossless_copy_keeps_its_uid() -> None:
    """Lost: the same pixels would have another name in each lake."""
    plain, exact = (run(grey(), recipe(name)).report for name in ("keep", "htj2k-lossless"))
    assert (plain.instance, plain.mapped) == (exact.instance, exact.mapped)
    assert plain.path == exact.path


def test_what_was_lossy_stays_as_it_is_unless_the_recipe_says_again() -> None:
    """Lost: errors would add up unasked."""
    streams, layout = coded("jpeg-baseline", WIDE, images.slope(WIDE))
    data = encapsulated(uids.JPEG_BASELINE, layout, streams, CT)
    kept = run(data, recipe("htj2k")).report
    assert (kept.pixels, kept.target_syntax) == ("copy", uids.JPEG_BASELINE)
    again = run(data, recipe("htj2k", coding={"lossy_again": "encode"})).report
    assert (again.pixels, again.target_syntax) == ("encode", uids.HTJ2K)
    exact = run(data, recipe("htj2k-lossless"))
    assert exact.report.pixels == "encode"
    assert images.text_of(farmside.joined(exact), 0x00282114) == "ISO_10918_1"


# What a recipe asks for.


@pytest.mark.parametrize("source", ["explicit", "implicit", "big", "deflated"])
@pytest.mark.parametrize("name", ["htj2k-lossless", "rle", "native", "deflated", "j2k-lossless"])
def test_samples_are_those_of_the_source_and_bytes_are_the_same_twice(source: str, name: str) -> None:
    """Lost: pixels would change on the way, or two attempts at one instance make two outputs."""
    for layout in (GREY, COLOUR):
        data = grey(name=source, layout=layout)
        product = run(data, recipe(name))
        output = farmside.joined(product)
        assert output == farmside.joined(run(data, recipe(name)))
        assert (product.report.target_syntax, product.report.output_bytes) == (TARGETS[name], len(output))
        back = samples_of(images.to(output, "native"))
        assert np.array_equal(back, images.stacked(images.noise(layout, 2)))
        plain = images.elements(farmside.joined(run(data, recipe("explicit"))))
        made = images.elements(output)
        about = {oracle.PIXELS, 0x00280004, 0x00280006}
        assert made.keys() == plain.keys()
        if source != "big":  # it stays that where nothing is transcoded
            assert {tag for tag in made if made[tag].raw != plain[tag].raw} <= about


def test_an_instance_without_pixels_stays_what_it_is() -> None:
    """Lost: headers would be in one byte order under the name of another, or a report be refused for its pixels."""
    for source in ("explicit", "implicit", "big", "deflated"):
        product = run(_pixelless(source), recipe("htj2k-lossless"), None)
        found = images.read(farmside.joined(product))
        assert (product.report.pixels, product.report.codec) == ("", "")
        assert found.file_meta.TransferSyntaxUID == product.report.target_syntax
        assert found.SOPInstanceUID == product.report.instance
        assert product.report.target_syntax == trees.UIDS["explicit" if source == "implicit" else source].decode()


def _pixelless(source: str) -> bytes:
    """Return a file without pixels."""
    layout = replace(GREY, rows=1, columns=1)
    return Image(layout=layout, frames=images.noise(layout), name=source).file(CT, without=(oracle.PIXELS,))


def test_without_a_transcoder_the_order_cannot_be_carried_out() -> None:
    """Lost: outputs would be in another transfer syntax than the recipe says."""
    with pytest.raises(BadRecipe) as refused:
        run(grey(), recipe("htj2k-lossless"), None)
    assert refused.value.reason is Reason.BAD_RECIPE
    assert run(grey(), recipe("native"), None).report.pixels == "copy"
    assert run(grey(), recipe("keep"), None).report.pixels == "copy"


def test_pixels_at_risk_are_at_risk_in_any_transfer_syntax() -> None:
    """Lost: what is burnt into the pixels would be released once it is written in another way."""
    burnt = trees.text(0x00280301, b"YES ")
    for base, held in (("strict", True), ("research", True), ("basic", False)):
        wanted = recipe("htj2k-lossless", base)
        if held:
            assert reason(grey(burnt), wanted) is Reason.PIXELS_AT_RISK
        else:
            assert run(grey(burnt), wanted).report.pixels_at_risk
    assert not run(grey(), recipe("htj2k-lossless")).report.pixels_at_risk


def test_what_cannot_be_had_is_kept_or_quarantined() -> None:
    """Lost: an order to hold back what is not in the lake's transfer syntax would be passed over."""
    signed = replace(GREY, signed=True)
    data = grey(layout=signed)
    kept = run(data, recipe("jpeg-xl-lossless"))
    assert (kept.report.pixels, kept.report.target_syntax) == ("copy", TARGETS["native"])
    assert farmside.joined(kept) == farmside.joined(run(data, recipe("explicit")))
    strict = recipe("jpeg-xl-lossless", coding={"unable": "quarantine"})
    assert reason(data, strict) is Reason.CODEC_ABSENT
    assert run(grey(), strict).report.pixels == "encode"


def test_what_does_not_decode_is_quarantined() -> None:
    """Lost: half an instance would be released."""
    streams, layout = coded("jpeg-ls-lossless", GREY, images.noise(GREY, 2))
    data = encapsulated(uids.JPEG_LS, layout, [streams[0], streams[1][:20]], CT, count=2)
    assert reason(data, recipe("native")) in {Reason.PIXELS_UNDECODABLE, Reason.BAD_STRUCTURE}
    short = trees.text(oracle.PIXELS, bytes(20), "OW")
    assert reason(grey(short), recipe("rle")) is Reason.PIXEL_LENGTH


def test_the_report_tells_what_was_done() -> None:
    """Lost: nobody could say which library an output's pixels are from."""
    codec = registry.encoder(uids.HTJ2K_LOSSLESS)
    report = run(grey(), recipe("htj2k-lossless")).report
    assert report.pixels == "encode"
    assert report.codec.endswith(f"to {codec.library} {codec.version}")
    assert (report.source_syntax, report.target_syntax) == (TARGETS["native"], uids.HTJ2K_LOSSLESS)
    assert "handed_back" not in report.counts
    counts = run(grey(), recipe("htj2k-lossless"), HandingBack()).report.counts
    assert (counts["handed_back"], counts["handed_back_differs"]) == (1, 1)
    assert run(grey(), recipe("explicit")).report.codec == ""


class HandingBack:
    """A transcoder whose device did nothing."""

    batch = 1

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Transcode all the same."""
        done = INLINE.run(works)
        return [
            replace(one, handed_back=True, why_not=WhyNot.DIFFERS) if isinstance(one, Result) else one for one in done
        ]
