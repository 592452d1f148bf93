"""Types and what they decide: the one action that a code of PS3.15 table E.1-1 means at a place of an IOD.

A compound code (`X/Z/D`) asks for the most that the IOD allows: remove a Type 3 attribute, empty a Type 2 one, replace
a Type 1 one (table E.1-1a). Which Type an attribute has depends on the SOP class and on the sequences around it: most
of the 50 compound rows have several. The Types are read from PS3.3's modules, generated into `standard/types`.

- Where modules of an IOD disagree about a place, the strictest Type stands, and a module counts whatever its usage
  (mandatory, conditional, user option): whether an optional one is present cannot be told from its attributes.
- Types 1C and 2C count as 1 and 2. Their conditions are prose; an attribute that is there is taken as required. A dummy
  for an attribute that need not be there harms no IOD and identifies nobody.
- An attribute that the IOD does not have at a place belongs to a Standard Extended SOP Class. It is removed where its
  code lets it (E.1.1, note on attributes that are used at other levels).
- A plain X that would break a Type 1 or 2 attribute becomes D or Z, and a plain Z that would break a Type 1 attribute
  becomes D: either removed or replaced is what E.1.1 asks, and IOD integrity is the de-identifier's duty (item 2,
  note 1). Table E.1-1a itself lets Z be a dummy. So does X/Z where Type 1 was found, and X/D becomes D for Type 2.
- X/Z/U*, the two sequences of referenced and source images: removed, emptied, or, where an item is required, kept with
  the UIDs in its items replaced (`U`). Keeping them is the only replacement whose references still resolve. Where an
  instance lists the series of what it references (Common Instance Reference, PS3.3 C.12.2), a list of what is not
  referenced would be left; so those of Type 2 are kept too, and all where that module is not optional: `Types.listed`.
- A SOP class without known Types gets the action that every Type allows; for a sequence the empty one, because the
  contents of a dummy item depend on the IOD as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from farm.deid.standard.types import LISTING, MODULES, SOP_CLASSES

Path = tuple[int, ...]
CONTENT_SEQUENCE = 0x0040A730
# What an attribute must be left with, from nothing to a value. Types sort by strictness: 1 1C 2 2C 3.
_STRENGTH = ("X", "Z", "D")
_LEAST: dict[str | None, str] = {None: "X", "3": "X", "2C": "Z", "2": "Z", "1C": "D", "1": "D"}
_REFERENCES = {"X": "X", "Z": "Z", "D": "U"}
_LISTED = {"": frozenset(), "U": frozenset({"2", "2C"}), "C": frozenset(_LEAST), "M": frozenset(_LEAST)}
_USAGES = dict(LISTING)
_MODULES = dict(MODULES)
_SOP_CLASSES = dict(SOP_CLASSES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Types:
    """The Types that matter to the profile in one SOP class; the same object for SOP classes of the same modules.

    `paths`: the sequences, with all that enclose them, in which some Type calls for another action than elsewhere.
    `listed`: references of which Types are kept because the instance lists them.
    """

    known: bool
    listed: frozenset[str | None] = frozenset()
    paths: frozenset[Path] = frozenset()
    places: Mapping[tuple[Path, int], str] = field(default_factory=dict, repr=False)

    def of(self, path: Path, tag: int) -> str | None:
        """Return an attribute's Type; None where the IOD does not have it, or no row of the table depends on it."""
        return self.places.get((folded(path), tag))

    def inside(self, path: Path, tag: int) -> bool:
        """Tell whether Types may differ in the items of a sequence from what holds elsewhere."""
        return folded((*path, tag)) in self.paths


_UNKNOWN = Types(known=False)


def types(sop_class: str) -> Types:
    """Return the Types of a SOP class; those of an unknown one hold nothing."""
    modules = _SOP_CLASSES.get(sop_class)
    return _UNKNOWN if modules is None else _merged(modules, _USAGES.get(sop_class, ""))


def folded(path: Path) -> Path:
    """Return a path with nested Content Sequences as one: every content item has the same modules (PS3.3 C.17.3)."""
    if path.count(CONTENT_SEQUENCE) < 2:
        return path
    return tuple(tag for tag, run in groupby(path) for _ in ([0] if tag == CONTENT_SEQUENCE else run))


def action(code: str, type_: str | None, vr: str, *, known: bool) -> str:
    """Return the letter that a code of table E.1-1 means for an attribute of a Type (X Z D K C U).

    `U` for a sequence: it stays, and the UIDs in its items are replaced. `known`: whether the SOP class's Types are.
    """
    choices = code.split("/")
    if not known:
        return _for_every_type(choices, vr)
    least = _LEAST[type_]
    if "U*" in choices:
        return _REFERENCES[least]
    if choices[0] not in _STRENGTH:
        return code
    enough = _STRENGTH[_STRENGTH.index(least) :]
    return next((letter for letter in enough if letter in choices), least)


def _for_every_type(choices: list[str], vr: str) -> str:
    if "U*" in choices:
        return "U"
    return "Z" if vr == "SQ" and "Z" in choices else choices[-1]


@cache
def _merged(modules: str, usage: str) -> Types:
    """Merge modules by place: the strictest Type stands. `usage` is that of Common Instance Reference."""
    places: dict[tuple[Path, int], str] = {}
    for cell in (cell for module in modules.split() for cell in _MODULES[module].split()):
        tags, type_ = cell.split("=")
        *path, tag = (int(text, 16) for text in tags.split("."))
        place = (tuple(path), tag)
        places[place] = min(type_, places.get(place, "3"))
    changing = [path for (path, _), type_ in places.items() if type_ != "3"]
    prefixes = frozenset(path[:end] for path in changing for end in range(len(path) + 1))
    return Types(known=True, listed=_LISTED[usage], paths=prefixes, places=places)
