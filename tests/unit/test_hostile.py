"""Bad input: whatever comes in, a `BadInput` with a reason comes out, or a product; nothing else, and nothing leaks."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import traceback
import zlib
from pathlib import Path

import basic_oracle
import farmside
import oracle
import pytest
import trees
from oracle import Element
from trees import sequence, text

from farm.errors import MEANING, BadInput, Reason
from farm.pipeline import Product, survey

ROOT = Path(__file__).parents[2]
SECRET = b"SECRETNAME"


def attempt(data: bytes) -> Product | BadInput:
    """Process a file; anything but a product or a `BadInput` fails the test."""
    try:
        return farmside.run(data)
    except BadInput as error:
        assert_silent(error)
        return error


def assert_silent(error: BadInput) -> None:
    """Assert that no value of the instance stands in what a log could show of an error."""
    shown = (
        "".join(traceback.format_exception(error)) + repr(error) + str(error) + repr(error.fields) + repr(error.args)
    )
    for secret in ("SECRET", "1.2.3.4"):
        assert secret not in shown
    assert error.reason in MEANING


def rich() -> list[Element]:
    """Return an instance with a secret in many places."""
    inner = [text(0x00081155, b"1.2.3.4.5 "), text(0x00100010, SECRET), text(0x00180050, b"1.25")]
    return [
        text(0x00080005, b"ISO_IR 100"),
        text(0x00080080, SECRET),
        text(0x00081030, SECRET),
        sequence(0x00081140, inner, inner),
        sequence(0x00400260, inner, [sequence(0x00189346, inner, undefined=True)], undefined=True),
        sequence(0x0040A730, inner),
        text(0x00290010, SECRET),
        *trees.identity(SECRET),
    ]


def sources() -> list[bytes]:
    """Return small files in every encoding."""
    found = [trees.file([*rich(), *trees.pixels(how, SECRET)], name) for name, how in trees.SYNTAXES.items()]
    unknown = sequence(0x00400260, [text(0x00100010, SECRET), text(0x00081155, b"1.2.3.4 ")], vr="UN")
    found.append(trees.file([*trees.identity(SECRET), unknown]))
    stream = zlib.compressobj(wbits=-15)
    packed = stream.compress(trees.encode(trees.in_order(rich()))) + stream.flush()
    found.append(trees.meta(syntax=trees.UIDS["deflated"]) + packed)
    found.append(trees.encode(trees.in_order(rich())))
    return found


def mutant(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to three wounds."""
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(data)), rng.choice((1, 1, 2, 4, 8, 40))
        new = rng.choice(
            (
                b"",
                rng.randbytes(size),
                data[at : at + size] * 2,
                b"\xff\xff\xff\xff",
                b"\0\0\0\0",
                struct.pack("<I", rng.randrange(1 << rng.choice((4, 16, 32)))),
                rng.choice(
                    (b"SQ", b"UN", b"OB", b"UI", b"LO", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0")
                ),
            )
        )
        data = data[:at] + new + data[at + rng.choice((0, len(new), size)) :]
    return data


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(8))
def test_mutants_end_with_a_reason_or_as_the_oracle_says(seed: int) -> None:
    """Lost otherwise: one broken file would stop a worker, or come out half cleaned."""
    rng = random.Random(seed)
    files = sources()
    done = 0
    for _ in range(250):
        data = mutant(rng.choice(files), rng)
        product = attempt(data)
        if isinstance(product, Product):
            done += 1
            assert as_the_oracle_says(data, product)
    assert 10 < done < 240


def as_the_oracle_says(data: bytes, product: Product) -> bool:
    """Tell whether the oracle, where it can read the file and write it back as it was, makes the same of it."""
    try:
        source = basic_oracle.read_file(data)
        same = oracle.rewrite(source.elements, lambda _element, _depth: None, source.syntax, lambda _tag, vr: vr)
        if same not in data and not source.deflated:
            return True
        expected, _ = farmside.oracle_for(product).output(source)
    except (oracle.Unreadable, AssertionError, zlib.error):
        return True
    return farmside.body(farmside.joined(product)) == expected


@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_a_file_cut_at_any_byte_is_refused_or_whole_up_to_there(name: str) -> None:
    """Lost otherwise: an interrupted copy would be released as if it were the instance."""
    data = trees.file([*rich(), *trees.pixels(trees.SYNTAXES[name])], name)
    for cut in range(len(data)):
        product = attempt(data[:cut])
        if isinstance(product, Product):
            source = basic_oracle.read_file(data[:cut])
            assert farmside.body(farmside.joined(product)) == farmside.oracle_for(product).output(source)[0]


@pytest.mark.parametrize("name", trees.SYNTAXES)
@pytest.mark.parametrize("length", [0xFFFFFFFE, 0x7FFFFFFF, 0xFFFF, 0x10000, 1001])
def test_a_length_that_cannot_be_true_is_refused(name: str, length: int) -> None:
    """Lost otherwise: memory would be asked for, or bytes of another element taken, on a file's word."""
    how = trees.SYNTAXES[name]
    for tag, vr in (
        (0x00400260, "SQ"),
        (0x0040A160, "UT"),
        (0x00420011, "OB"),
        (0x0040A730, "SQ"),
        (oracle.PIXELS, "OW"),
    ):
        body = trees.encode(trees.in_order(trees.identity()), how) + oracle.header(tag, vr, length, how) + bytes(1000)
        refused = attempt(trees.meta(syntax=trees.UIDS[name]) + body)
        assert isinstance(refused, BadInput)
        assert refused.reason in {Reason.TRUNCATED, Reason.BAD_STRUCTURE, Reason.PIXEL_LENGTH}


@pytest.mark.parametrize("count", [b"9" * 5000, b"9" * 300, b"-1", b"1.5", b"\xb2", b"many"])
def test_a_number_of_frames_that_cannot_be_is_refused(count: bytes) -> None:
    """Lost otherwise: a silly Number of Frames would end a worker with an error that nobody expects."""
    data = trees.file(
        [*trees.identity(), *trees.pixels(oracle.EXPLICIT, b"tail"), text(0x00280008, count + b" " * (len(count) % 2))]
    )
    refused = attempt(data)
    assert isinstance(refused, BadInput)
    assert refused.reason is Reason.PIXEL_LENGTH
    assert survey(data).frames == 1 or count.isdigit()


@pytest.mark.parametrize("tag", [0x00400260, 0x0040A730, 0x00081140, 0x00091001, 0x00081072])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("depth", [250, 20_000])
def test_deep_nesting_is_refused_or_cut_out_without_descending(tag: int, undefined: bool, depth: int) -> None:  # noqa: FBT001
    """Lost otherwise: a file of a few kilobytes would exhaust the stack or hang a worker."""
    vr = "UN" if tag == 0x00091001 else "SQ"
    inner = oracle.IMPLICIT if vr == "UN" else oracle.EXPLICIT
    start = oracle.header(tag, vr, 0xFFFFFFFF, inner) + oracle.header(0xFFFEE000, "", 0xFFFFFFFF, inner)
    end = oracle.header(0xFFFEE00D, "", 0, inner) + oracle.header(0xFFFEE0DD, "", 0, inner)
    body = start * depth + end * depth
    if not undefined:
        size, parts = 0, []
        for _ in range(depth):
            part = oracle.header(tag, vr, size + 8, inner) + oracle.header(0xFFFEE000, "", size, inner)
            parts.append(part)
            size += len(part)
        body = b"".join(reversed(parts))
    if vr == "UN":  # the outermost one is explicit
        body = oracle.header(tag, vr, int.from_bytes(body[4:8], "little"), oracle.EXPLICIT) + body[8:]
    before = trees.encode([one for one in trees.in_order(trees.identity()) if one.tag < tag])
    behind = trees.encode([one for one in trees.in_order(trees.identity()) if one.tag > tag])
    product = attempt(trees.meta() + before + body + behind)
    if isinstance(product, BadInput):
        assert product.reason in {Reason.TOO_DEEP, Reason.BAD_STRUCTURE}
    else:
        assert tag in {0x0040A730, 0x00081072, 0x00091001}
        assert product.report.output_bytes < 2000


def test_a_deflate_bomb_is_refused_in_bounded_memory() -> None:
    """Lost otherwise: one and a half megabytes would take a machine's memory."""
    code = """
import resource, sys, zlib
sys.path[:0] = [{tests!r}]
import farmside, trees
from farm.errors import BadInput
packed = zlib.compressobj(9, wbits=-15)
block = packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_FULL_FLUSH)  # it can be repeated: 1.5 GB of zeros
data = trees.meta(syntax=trees.UIDS["deflated"]) + block * 1500 + packed.flush()
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    farmside.run(data)
except BadInput as error:
    print(error.reason.value)
"""
    made = subprocess.run(
        [sys.executable, "-c", code.format(tests=str(ROOT / "tests"))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert (made.stdout.strip(), made.stderr) == ("inflates-too-far", "")


def test_nothing_is_lost_behind_a_tag_out_of_order() -> None:
    """Lost otherwise: an instance would come out `done` without its pixels."""
    stray = oracle.simple(0x7FE20010, "LO", b"stray", oracle.EXPLICIT)
    first, *rest = trees.in_order([*trees.identity(), *trees.pixels(oracle.EXPLICIT)])
    behind = len(trees.identity()) - 1
    parts = [oracle.write(one, oracle.EXPLICIT) for one in (first, *rest[:behind])]
    data = trees.meta() + b"".join(parts) + stray + trees.encode(rest[behind:])
    product = attempt(data)
    assert isinstance(product, BadInput) or oracle.PIXELS in {
        one.tag for one in basic_oracle.read_file(farmside.joined(product)).elements
    }


@pytest.mark.parametrize("missing", [0x00080016, 0x00080018, 0x0020000D, 0x0020000E])
@pytest.mark.parametrize("blank", [None, b"", b"\0\0", b"  "])
def test_an_instance_without_its_identifiers_is_refused(missing: int, blank: bytes | None) -> None:
    """Lost otherwise: outputs would collide under an empty name."""
    found = [element for element in trees.identity() if element.tag != missing]
    found += [text(missing, blank)] if blank is not None else []
    refused = attempt(trees.encode(trees.in_order(found)))  # no File Meta Information that would say it too
    assert isinstance(refused, BadInput)
    assert refused.reason is (Reason.NO_SOP_CLASS if missing == 0x00080016 else Reason.NO_UID)


@pytest.mark.parametrize("missing", [0x00080016, 0x00080018])
def test_an_empty_identifier_is_read_from_file_meta_information(missing: int) -> None:
    """Lost otherwise: an instance whose file says what it is would be quarantined."""
    found = [element for element in trees.identity() if element.tag != missing]
    product = attempt(trees.file([*found, text(missing, b"")]))
    assert not isinstance(product, BadInput)
    whole = attempt(trees.file(trees.identity()))
    assert not isinstance(whole, BadInput)
    assert farmside.joined(product) == farmside.joined(whole)


def test_the_survey_of_any_head_ends_likewise() -> None:
    """Lost otherwise: one broken file would stop the crawl of a million."""
    rng = random.Random(5)
    files = sources()
    for _ in range(500):
        data = mutant(rng.choice(files), rng)[: rng.randrange(1, 900)]
        try:
            seen = survey(data)
        except BadInput as error:
            assert_silent(error)
        else:
            assert "1.2.3" not in repr(seen).replace(seen.syntax, "")
