"""The policy: what happens to each attribute, and by which rule.

PS3.15 table E.1-1 gives an action to each attribute that it lists, and the options change some of them; where options
disagree, cleaning wins over keeping. An attribute that the table does not list is kept, which is the Basic Profile to
the letter (E.1.1); a recipe may instead remove whatever unlisted could carry text or a date, but for a list of
technical attributes. Above all that stand a recipe's own rules for single attributes.

Compound codes (`X/Z/D`) depend on the attribute's Type in the IOD at hand, at the place where it stands: see
`farm.deid.resolve`. Beyond the table's rows there are the rules of E.1.1's prose that need no value: group lengths go,
group 0004 goes outside a DICOMDIR, File Meta Information and command elements do not belong in a data set.

The policy answers the same question for the walk of an instance and for `farm recipe explain`, so what is explained is
what is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from farm.deid import resolve
from farm.deid.resolve import Types
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of

Path = tuple[int, ...]


class Action(StrEnum):
    """What happens to an attribute; the letters are PS3.15's (E.1.1)."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    CLEAN = "C"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An action, the layer that decided it, and the rule there."""

    action: Action
    layer: str
    rule: str


OPTIONS = {
    "clean-graphics": "113103",
    "clean-structured-content": "113104",
    "clean-descriptors": "113105",
    "retain-longitudinal-full-dates": "113106",
    "retain-longitudinal-modified-dates": "113107",
    "retain-patient-characteristics": "113108",
    "retain-device-identity": "113109",
    "retain-uids": "113110",
    "retain-safe-private": "113111",
    "retain-institution-identity": "113112",
}
"""The options of PS3.15 E.3 that have a column in table E.1-1, with their codes of PS3.16 CID 7050."""
EXCLUSIVE = frozenset({"retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"})

TEMPORAL_VRS = frozenset({"DA", "DT", "TM"})
TEXT_VRS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_CLEANABLE = TEXT_VRS | TEMPORAL_VRS | {"AS", "CS", "SQ"}
_OPAQUE_VRS = frozenset({"OB", "UN"})
_NUMBER_VRS = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_BULK_VRS = frozenset({"OD", "OF", "OL", "OV", "OW"})
_ANY_NUMBERS = _NUMBER_VRS | _BULK_VRS
CHARSET = 0x00080005
ICC_PROFILE = 0x00282000
PALETTES = frozenset({0x00281201, 0x00281202, 0x00281203, 0x00281204, 0x00281221, 0x00281222, 0x00281223, 0x00281224})
CODES = frozenset(0x00080100 + n for n in (0x00, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0F, 0x19, 0x20))
"""The attributes of a code (PS3.3 table 8.8-1): they stand in any coded item, and are cleaned wherever they do."""
TERMS = frozenset({0x00281054, 0x00283004, 0x00420012, 0x00420014})
"""Text whose values are terms, as those of code strings: Rescale Type, Modality LUT Type, MIME types of documents."""
REFERENCES = frozenset(
    {
        0x00081167,  # Multi-frame Source SOP Instance UID
        0x00083012,  # Radiopharmaceutical Administration Event UID
        0x0018991E,  # Target Frame of Reference UID
        0x00200242,  # SOP Instance UID of Concatenation Source
        0x00209312,  # Volume Frame of Reference UID
        0x00209313,  # Table Frame of Reference UID
        0x0070031B,  # Referenced Fiducial UID
        0x300A0675,  # Equipment Frame of Reference UID
    }
)
"""UIDs without a row that refer to instances, or to what has a row: they follow it (E.1.1, "all references")."""
_CLEANED = frozenset({CHARSET, ICC_PROFILE})
_ALWAYS = frozenset(
    {
        0x00080016,  # SOP Class UID
        0x00020010,
        0x7FE00008,
        0x7FE00009,
        0x7FE00010,  # Pixel Data
        0x54001010,  # Waveform Data
        0x54000110,
        0x54000112,
        0x00420011,  # Encapsulated Document: it has a row of its own
    }
)
_GROUPS_REMOVED = frozenset({0x0000, 0x0002, 0x0004})
# An overlay or curve without its data breaks its module, so the whole repeating group goes with it (E.1.1 note 1).
_REPEATING = frozenset({0x5000, 0x6000})
_ODD = "odd"
_REFERENCES = "X/Z/U*"


def _options(text: str) -> dict[str, str]:
    pairs = (pair.split("=") for pair in text.split())
    return {name.replace("_", "-"): letter for name, letter in pairs}


_LISTED: dict[int, tuple[str, dict[str, str]]] = {
    int(pattern, 16): (code, _options(options))
    for pattern, code, options in ROWS
    if "x" not in pattern and pattern != _ODD
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a recipe says of attributes.

    `options`: names as in `OPTIONS`. `unlisted_removed`: what table E.1-1 does not list and could carry text or a date
    goes, but for `keep`. `own`: the recipe's rules for single attributes. `private_classes`: private SOP classes, which
    the profile does not cover, are let in.
    """

    options: frozenset[str] = frozenset()
    unlisted_removed: bool = False
    keep: frozenset[int] = frozenset()
    own: tuple[tuple[int, Action], ...] = ()
    private_classes: bool = False
    allow_weaken: bool = False

    def has(self, option: str) -> bool:
        """Tell whether an option is chosen."""
        return option in self.options

    @cached_property
    def cleans(self) -> bool:
        """Tell whether any value is cleaned, or moved, by what the instance says of itself."""
        return self.unlisted_removed or bool(self.options - {"retain-uids"}) or Action.CLEAN in self._own.values()

    @cached_property
    def columns(self) -> frozenset[str]:
        """Return the chosen options as the standard's generated tables name them."""
        return frozenset(option.replace("-", "_") for option in self.options)

    @cached_property
    def _own(self) -> dict[int, Action]:
        return dict(self.own)

    @property
    def temporal(self) -> str:
        """Return the value of Longitudinal Temporal Information Modified (0028,0303) that tells the truth (E.3.6)."""
        if self.has("retain-longitudinal-full-dates"):
            return "UNMODIFIED"
        return "MODIFIED" if self.has("retain-longitudinal-modified-dates") else "REMOVED"

    def decide(self, tag: int, vr: str, path: Path, types: Types) -> Decision:
        """Return what happens to an attribute of a VR below the sequences of a path.

        `types` are those of the instance's IOD; where they are not known, the action is taken that every Type allows.
        """
        own = self._own.get(tag)
        if own is not None:
            return Decision(action=own, layer="recipe", rule="policy.attributes")
        return self.settled(tag, vr, path, types)

    def settled(self, tag: int, vr: str, path: Path, types: Types) -> Decision:
        """Return the same, leaving the recipe's own rules aside: what is mandatory."""
        group = tag >> 16
        if not tag & 0xFFFF or group in _GROUPS_REMOVED:
            return Decision(action=Action.REMOVE, layer="structure", rule="PS3.15 E.1.1; group lengths")
        if group & 1:
            return self._private()
        listed = _LISTED.get(tag)
        if listed is not None:
            return self._by_row(listed, vr, types.of(path, tag), types)
        if group & 0xFF00 in _REPEATING:
            return Decision(action=Action.REMOVE, layer="profile", rule="E.1-1 overlays and curves, as a whole")
        return self._unlisted(tag, vr, path, types)

    def weakens(self, action: Action, mandatory: Action) -> bool:
        """Tell whether an action leaves more than a mandatory one."""
        return _LEAVES[action] > _LEAVES[mandatory]

    def _private(self) -> Decision:
        if self.has("retain-safe-private"):
            return Decision(action=Action.CLEAN, layer="option retain-safe-private", rule="E.1-1 private attributes C")
        return Decision(action=Action.REMOVE, layer="profile", rule="E.1-1 private attributes X")

    def _by_row(self, row: tuple[str, dict[str, str]], vr: str, type_: str | None, types: Types) -> Decision:
        """Return what a row of the table says under the chosen options."""
        code, columns = row
        chosen = {name: columns[name] for name in sorted(self.options) if name in columns}
        for letter in ("C", "K"):
            names = [name for name, wanted in chosen.items() if wanted == letter]
            if names and letter == "C" and vr not in _CLEANABLE:
                break  # what cannot be cleaned does not stay for being kept by another option
            if names:
                return Decision(action=Action(letter), layer=f"option {names[0]}", rule=f"E.1-1 {letter}")
        if code == _REFERENCES and self.unlisted_removed:
            rule = "E.1-1 X/Z/U*: no more than mapped UIDs is left in its items"
            return Decision(action=Action.KEEP, layer="profile", rule=rule)
        if code == _REFERENCES and type_ in types.listed:
            rule = "E.1-1 X/Z/U*: the instance lists what it references"
            return Decision(action=Action.KEEP, layer="profile", rule=rule)
        letter = resolve.action(code, type_, vr, known=types.known)
        where = f", Type {type_} here" if type_ else ""
        action = Action.KEEP if letter == "U" and vr == "SQ" else Action(letter)
        return Decision(action=action, layer="profile", rule=f"E.1-1 {code}{where}")

    def _unlisted(self, tag: int, vr: str, path: Path, types: Types) -> Decision:
        """Return what happens to an attribute without a row."""
        if tag not in REFERENCES and (not self.unlisted_removed or tag in _ALWAYS):
            return Decision(action=Action.KEEP, layer="unlisted", rule="no row in E.1-1")
        if tag in self.keep and tag not in REFERENCES:
            return Decision(action=Action.KEEP, layer="keep-list", rule="policy.keep")
        if vr == "UI" or tag in REFERENCES:
            action = Action.KEEP if self.has("retain-uids") else Action.UID
            return Decision(action=action, layer="unlisted", rule="UIDs that the standard does not assign")
        if vr in {"AS", "CS", "DS", "IS"} or tag in _CLEANED or tag in CODES or tag in TERMS or tag in PALETTES:
            return Decision(action=Action.CLEAN, layer="unlisted", rule="known terms and tables stay")
        if vr in TEXT_VRS or vr in TEMPORAL_VRS or vr in _OPAQUE_VRS or (vr in _ANY_NUMBERS and not _numbers(tag, vr)):
            letter = resolve.action("X", types.of(path, tag), vr, known=types.known)
            return Decision(action=Action(letter), layer="unlisted", rule="it could carry text or a date")
        return Decision(action=Action.KEEP, layer="unlisted", rule="it cannot carry text")


def _numbers(tag: int, vr: str) -> bool:
    """Tell whether an attribute written as numbers holds such, by the dictionary: else they may be letters.

    Of one that it does not know single numbers are taken for what they are written as, arrays of them are not.
    """
    own = vr_of(tag)
    if own in {"DS", "IS", "UN"}:
        return vr in _NUMBER_VRS
    return _ANY_NUMBERS.issuperset(own.split(" or ")) or vr in own


_LEAVES = {Action.REMOVE: 0, Action.EMPTY: 0, Action.DUMMY: 0, Action.UID: 1, Action.CLEAN: 2, Action.KEEP: 3}
