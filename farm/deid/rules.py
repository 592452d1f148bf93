"""The policy as rules for a grammar: what the walk does with an element of a tag and VR at a place.

Most actions need no value and are remembered with an element's header. What needs one is asked of the editor: UIDs,
dates, text to be cleaned, who the subject is. What describes the pixels, and what depends on attributes behind it, is
noted and edited when the walk is done.
"""

from __future__ import annotations

from functools import cached_property

from farm.deid import codes, dummies, facts, markers, pixeldata, resolve
from farm.deid.policy import CODES, Action, Policy
from farm.dicom.elements import PIXEL_DATA, Dialect
from farm.dicom.grammar import SOMEWHERE, Path, Rule

BURNED_IN, RECOGNIZABLE = 0x00280301, 0x00280302
SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS, SIGN = (0x00280000 + n for n in (2, 4, 8, 0x10, 0x11, 0x100, 0x103))
STORED, HIGH_BIT = 0x00280101, 0x00280102
PALETTE_DESCRIPTORS = frozenset({0x00281101, 0x00281102, 0x00281103})
DOCUMENT, DOCUMENT_TYPE, DOCUMENT_LENGTH = 0x00420011, 0x00420012, 0x00420015
CONTENT, ACQUISITION_CONTEXT, PREPARATION = 0x0040A730, 0x00400555, 0x00400612
OFFSET_TABLES = frozenset({0x7FE00001, 0x7FE00002})
DESCRIBING = (
    frozenset({BURNED_IN, RECOGNIZABLE, SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS, SIGN, STORED, HIGH_BIT})
    | {DOCUMENT_TYPE}
    | PALETTE_DESCRIPTORS
)
"""What describes the pixels, and a document."""
_NOTED = DESCRIBING | OFFSET_TABLES | {PIXEL_DATA, *pixeldata.FLOATS, DOCUMENT, DOCUMENT_LENGTH} | markers.TAGS
_SEQUENCES = frozenset({markers.METHOD_CODES, facts.PRIVATE_DATA})
OVERLAYS = frozenset(group << 16 | element for group in range(0x6000, 0x6020, 2) for element in (0x100, 0x102, 0x3000))
"""Of an overlay: Bits Allocated, Bit Position and Data; all of its group goes, but these tell of one in the pixels."""
_SUBJECT = frozenset({facts.PATIENT_NAME, facts.PATIENT_ID})
_UIDS = frozenset({facts.SOP_INSTANCE, facts.STUDY, facts.SERIES})
_TOLD_APART = frozenset({CONTENT, ACQUISITION_CONTEXT, PREPARATION})
_VALUES = frozenset({0x0040A120, 0x0040A121, 0x0040A122, 0x0040A123, 0x0040A124, 0x0040A160})
"""The attributes that hold the value of a content item (PS3.3 table C.18.1-1 and on)."""
_STRUCTURED = frozenset({0x0040A168, 0x0040A300, 0x0040A30A})
"""Likewise, of a code or a number: what they hold is decided by the policy as anywhere, or becomes a dummy."""
_DEPENDING = {"1": Action.DUMMY, "1C": Action.DUMMY, "2": Action.EMPTY, "2C": Action.EMPTY}


class PolicyRules:
    """A policy for the instances of one SOP class."""

    def __init__(self, policy: Policy, sop_class: str) -> None:
        """Take the Types of the class's IOD; a class that is not known has none."""
        self._policy = policy
        self._later: dict[tuple[int, str, Dialect], tuple[Rule, bytes]] = {}
        self._types = resolve.types(sop_class)

    @cached_property
    def told_apart(self) -> frozenset[int]:
        """Return the sequences whose items are content items, each with a rule of its own (E.3.4)."""
        return _TOLD_APART if self._policy.has("clean-structured-content") else frozenset()

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Return what the walk does with an element."""
        if not path and (tag in self.noted or tag in OVERLAYS):
            return Rule.NOTE if (vr == "SQ") == (tag in _SEQUENCES) else Rule.CUT
        return self._rule(tag, vr, path)

    def later(self, tag: int, vr: str, dialect: Dialect) -> tuple[Rule, bytes]:
        """Return what is done with a noted element when the walk is, and what takes its place: see `swap`."""
        found = self._later.get((tag, vr, dialect))
        if found is None:
            found = self._later[tag, vr, dialect] = (self._noted_rule(tag, vr), self.swap(tag, vr, (), dialect))
        return found

    @cached_property
    def noted(self) -> frozenset[int]:
        """Return the top-level attributes that are noted."""
        return _NOTED | self.facts

    @cached_property
    def facts(self) -> frozenset[int]:
        """Return the facts that the policy depends on."""
        if self._policy.has("retain-safe-private"):
            return facts.ALL
        return facts.ALL - {facts.PRIVATE_DATA} if self._policy.cleans else facts.PLAIN

    def _noted_rule(self, tag: int, vr: str) -> Rule:
        if tag in markers.TAGS or tag in OVERLAYS:
            return Rule.CUT
        if tag in _SUBJECT or tag == facts.SOP_CLASS or (tag in _UIDS and not self._policy.has("retain-uids")):
            return Rule.ASK
        return self._rule(tag, vr, ())

    def _rule(self, tag: int, vr: str, path: Path) -> Rule:
        action = self.action(tag, vr, path)
        if action is Action.CLEAN:
            if tag >> 16 & 1:
                return Rule.JUDGE
            return Rule.KEEP if vr == "SQ" else Rule.ASK
        if action is Action.UID or (action is Action.DUMMY and vr == "UI"):  # a UID that all share names nothing
            return Rule.ASK if vr in {"UI", "UN"} else Rule.CUT
        if action is Action.KEEP and vr == "AS":
            return Rule.ASK  # ages over 89 years are not told apart
        return _RULES[action]

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Return the empty or dummy element that takes another's place; nothing where it may be absent."""
        action = self.left(tag, vr, path)
        if action is Action.REMOVE:
            return b""
        if action is Action.EMPTY:
            return dialect.element(tag, vr, b"")
        return dummies.element(tag, vr, dialect)

    def left(self, tag: int, vr: str, path: Path) -> Action:
        """Return how an element is left of whose value nothing may stay: removed, empty, or with a dummy."""
        action = self.action(tag, vr, path)
        if tag in CODES and action is Action.CLEAN:
            action = Action.REMOVE if tag == codes.EXTENSION_FLAG else Action.DUMMY
        elif action in {Action.CLEAN, Action.UID, Action.KEEP}:  # nothing was left of its value
            item_needs_it = bool(path) and path[-1] < 0 and tag in _VALUES  # Type 1C (PS3.3 table C.17-5)
            action = Action.DUMMY if item_needs_it else _DEPENDING.get(self._type(tag, path) or "", Action.REMOVE)
        return action

    def place(self, path: Path) -> Path:
        """Return the path by which Types are known; `SOMEWHERE` where no Type below it changes what happens."""
        path = resolve.folded(tuple([tag for tag in path if tag >= 0]))  # its kind does not change an item's Types
        return path if path in self._types.paths else SOMEWHERE

    def action(self, tag: int, vr: str, path: Path) -> Action:
        """Return the policy's action for an element."""
        if path and path[-1] < 0:  # a content item: its concept decides what happens to its value
            letter = Action(chr(-path[-1]))
            if tag in _VALUES or (tag in _STRUCTURED and letter is Action.DUMMY):
                return letter
            path = path[:-1]
        return self._policy.decide(tag, vr, path, self._types).action

    def _type(self, tag: int, path: Path) -> str | None:
        return self._types.of(path[:-1] if path and path[-1] < 0 else path, tag)


_RULES = {Action.KEEP: Rule.KEEP, Action.REMOVE: Rule.CUT, Action.EMPTY: Rule.SWAP, Action.DUMMY: Rule.SWAP}
