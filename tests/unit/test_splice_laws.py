"""Laws of the splice: one pass over bytes gives what reading and writing everything again would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import oracle
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element

from farm.dicom.editor import Editor, Onlooker
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, Dialect
from farm.dicom.grammar import SOMEWHERE, Path, Plan, Rule
from farm.dicom.splice import Edit, Walk, assemble
from farm.errors import BadInput, Reason

DIALECTS = {"explicit": EXPLICIT, "implicit": IMPLICIT, "big": BIG}
# A few tags, so that headers repeat and the walk's memory is used; text, UIDs, 32-bit lengths and sequences.
VRS = {
    0x00080008: "CS",
    0x00080018: "UI",
    0x00081140: "SQ",
    0x00081155: "UI",
    0x00090010: "LO",
    0x00091001: "UN",
    0x00104000: "LT",
    0x00189346: "SQ",
    0x00281201: "OW",
    0x00400260: "SQ",
    0x0040A160: "UT",
    0x00420011: "OB",
    0x7FE00010: "OW",
    0xFFFCFFFC: "OB",
}
NESTED = {tag: vr for tag, vr in VRS.items() if tag not in {0x7FE00010, 0xFFFCFFFC}}
FOR_ALL = (Rule.KEEP, Rule.CUT, Rule.SWAP)
FOR_VALUES = (*FOR_ALL, Rule.ASK)
INSERTS = (0x00081140, 0x00281202)


@dataclass
class Drawn:
    """Rules drawn at random, one for each tag and another for the same tag in items."""

    choices: dict[tuple[int, bool], Rule]
    enters: bool = True

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Answer by tag alone."""
        del vr
        return self.choices[tag, bool(path)]

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Return a constant of another length than most."""
        del vr, path
        return dialect.element(tag, VRS[tag], b"" if VRS[tag] == "SQ" else b"constant")

    def place(self, path: Path) -> Path:
        """Give the items of one of the sequences a grammar of their own."""
        return path if path[-1] == 0x00189346 else SOMEWHERE


@dataclass
class Asked:
    """An editor that turns values round, and remembers where it was asked to insert."""

    phases: list[int] = field(default_factory=list)
    answers: dict[bytes, bytes | None] | None = field(default_factory=dict)

    def ask(self, tag: int, vr: str, value: bytes) -> bytes:
        """Give the value back turned round, and longer where it had any byte."""
        del tag, vr
        return turned(value)

    def judge(self, tag: int, vr: str, value: bytes, item: int) -> bool:
        """Let private sequences stay."""
        del tag, vr, value, item
        return True

    def kind(self, tag: int, start: int, end: int) -> int:
        """Never asked for."""
        raise NotImplementedError

    def insert(self, phase: int, dialect: Dialect) -> bytes:
        """Insert an element behind each of the first two phases."""
        self.phases.append(phase)
        return dialect.element(INSERTS[phase] - 1, "LO", b"inserted") if phase < len(INSERTS) else b""

    def settle(self, tag: int, vr: str) -> str:
        """Every tag of these laws has one VR."""
        del tag
        return vr


def turned(value: bytes) -> bytes:
    """Return what ASK makes of a value."""
    return value[::-1] + value[:1]


def choices() -> st.SearchStrategy[dict[tuple[int, bool], Rule]]:
    """Draw a rule for each tag, at top level and in items; only top-level elements are noted."""
    rules = {}
    for tag, vr in VRS.items():
        allowed = FOR_ALL if vr == "SQ" else FOR_VALUES
        rules[tag, True] = st.sampled_from(allowed)
        rules[tag, False] = st.sampled_from((*allowed, Rule.NOTE))
    return st.fixed_dictionaries(rules)


def data_sets(*, unknown: bool) -> st.SearchStrategy[list[Element]]:
    """Draw a data set in tag order, Pixel Data once at most."""

    def tidy(drawn: list[Element]) -> list[Element]:
        last = [element for element in drawn if element.tag >= oracle.PIXELS]
        rest = [element for element in drawn if element.tag < oracle.PIXELS]
        once = {element.tag: element for element in last}
        return trees.in_order([*rest, *once.values()])

    top = trees.elements(VRS, depth=0, unknown=unknown)
    deep = trees.elements(NESTED, depth=3, unknown=unknown)
    return st.builds(lambda a, b: tidy([*a, *b]), top, deep)


def expected(data: bytes, name: str, choose: Callable[[int, bool], Rule]) -> bytes:
    """Return what the oracle makes of a data set under the same rules."""
    syntax = trees.SYNTAXES[name]
    found, _ = oracle.read(data, syntax)

    def edit(element: Element, depth: int) -> bytes | None:
        rule = choose(element.tag, bool(depth))
        vr = VRS[element.tag]
        written = element.syntax if element.syntax.explicit else target_of(name)
        if rule is Rule.CUT:
            return b""
        if rule is Rule.NOTE:
            return element.raw
        if rule is Rule.SWAP and (element.value or element.undefined):
            return oracle.simple(element.tag, vr, b"" if vr == "SQ" else b"constant", written)
        if rule is Rule.ASK:
            assert isinstance(element.value, bytes)
            new = turned(element.value)
            if new != element.value or element.syntax != target_of(name):
                return oracle.simple(element.tag, element.vr, new, written)
        return None

    body, waiting = b"", list(INSERTS)
    for element in found:
        while waiting and element.tag >= waiting[0]:
            body += oracle.simple(waiting.pop(0) - 1, "LO", b"inserted", syntax)
        body += oracle.rewrite([element], edit, syntax, lambda _, vr: vr)
    return body + b"".join(oracle.simple(tag - 1, "LO", b"inserted", syntax) for tag in waiting)


def target_of(name: str) -> oracle.Syntax:
    """Return how new elements are written: where UN hides implicit items, as the data set around them."""
    return trees.SYNTAXES[name]


def spliced(data: bytes, plan: Plan, editor: Editor) -> tuple[bytes, Walk]:
    """Return what the farm's walk makes of a data set."""
    walk = Walk(data, plan, editor)
    walk.run(0, len(data))
    return b"".join(assemble(data, walk.edits, 0, walk.end)), walk


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_walk_equals_reading_and_writing_everything(name: str, data: st.DataObject) -> None:
    """Lost otherwise: the certainty that the fast pass does what the slow, plain way does, to the byte."""
    rules = Drawn(data.draw(choices()))
    plan = Plan(rules, DIALECTS[name], INSERTS)
    for drawn in data.draw(st.lists(data_sets(unknown=name == "explicit"), min_size=1, max_size=3)):
        source = trees.encode(drawn, trees.SYNTAXES[name])
        out, walk = spliced(source, plan, Asked())
        assert out == expected(source, name, lambda tag, nested: rules.choices[tag, nested])
        assert walk.end == len(source)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_keeping_everything_changes_nothing(name: str, data: st.DataObject) -> None:
    """Lost otherwise: values that nobody asked to change would come out altered."""
    source = trees.encode(data.draw(data_sets(unknown=False)), trees.SYNTAXES[name])
    plan = Plan(
        Drawn(dict.fromkeys(((tag, nested) for tag in VRS for nested in (False, True)), Rule.KEEP)), DIALECTS[name]
    )
    out, walk = spliced(source, plan, Onlooker())
    assert (out, walk.edits) == (source, [])


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_noted_spans_are_the_elements_themselves(name: str, data: st.DataObject) -> None:
    """Lost otherwise: edits made after the walk (identity, pixels) would hit other bytes than those meant."""
    source = trees.encode(data.draw(data_sets(unknown=False)), trees.SYNTAXES[name])
    every = dict.fromkeys(((tag, nested) for tag in VRS for nested in (False, True)), Rule.NOTE)
    walk = Walk(source, Plan(Drawn(every), DIALECTS[name]), Asked())
    walk.run(0, len(source))
    found, _ = oracle.read(source, trees.SYNTAXES[name])
    assert [(note.tag, source[note.start : note.end]) for note in walk.notes] == [(one.tag, one.raw) for one in found]
    for note, one in zip(walk.notes, found, strict=True):
        assert note.defined is not one.undefined
        assert isinstance(one.value, list) or source[note.value : note.end] == one.value


@settings(max_examples=40, deadline=None)
@given(drawn=data_sets(unknown=True), cut=st.integers(0, 10_000))
def test_a_data_set_cut_short_is_refused_or_ends_between_elements(drawn: list[Element], cut: int) -> None:
    """Lost otherwise: half an element, or a value that runs into the next, could be taken for a whole."""
    source = trees.encode([one for one in drawn if one.tag != oracle.PIXELS])
    cut = cut % (len(source) + 1)
    keep = dict.fromkeys(((tag, nested) for tag in VRS for nested in (False, True)), Rule.KEEP)
    walk = Walk(source[:cut], Plan(Drawn(keep), EXPLICIT), Asked())
    whole = ends_of(source)
    reason = None
    try:
        walk.run(0, cut)
    except BadInput as error:
        reason = error.reason
    if cut in whole:
        assert (reason, walk.end) == (None, cut)
    else:
        assert reason in {Reason.TRUNCATED, Reason.BAD_STRUCTURE} or walk.end in whole


def ends_of(source: bytes) -> list[int]:
    """Return where each top-level element of an explicit data set ends."""
    found, _ = oracle.read(source, oracle.EXPLICIT)
    ends = [0]
    for element in found:
        ends.append(ends[-1] + len(element.raw))
    return ends


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 9), st.binary(max_size=5)), max_size=8),
    rest=st.integers(0, 40_000),
)
def test_assembling_equals_slicing(runs: list[tuple[int, int, bytes]], rest: int) -> None:
    """Lost otherwise: long kept runs, handed on as views, could lose or repeat a byte at their borders."""
    data = bytes(index * 7 % 251 for index in range(4096))
    data = (data * 110)[: sum(kept + cut for kept, cut, _ in runs) + rest]
    edits: list[Edit] = []
    at, want = 0, b""
    for kept, cut, new in runs:
        want += data[at : at + kept] + new
        edits.append((at + kept, at + kept + cut, new))
        at += kept + cut
    segments = assemble(data, edits, 0, len(data))
    assert b"".join(segments) == want + data[at:]
    assert all(isinstance(segment, bytes) or segment.obj is data for segment in segments)
