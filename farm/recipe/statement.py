"""The conformance statement that PS3.15 E.1.3 asks for, written from a recipe, as Markdown.

Its eight items come first, in the order of the standard, then what the options want described: the manner of cleaning
(E.3.3 to E.3.5, E.3.7), the manner of date modification (E.3.6) and the safe private attributes (E.3.10). What is said
of attributes is asked of the policy, so it cannot differ from what is done; the manner is told in words, and whoever
changes the one changes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from farm import __version__
from farm.deid import dummies, resolve
from farm.deid.policy import Action, Decision
from farm.deid.standard import e1_1, methods, private
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import EXPLICIT, LONG_VRS
from farm.recipe import tags
from farm.recipe.recipe import Recipe
from farm.transcoding.targets import KEEP

_UNKNOWN = resolve.types("")
_DUMMY_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UR", "UT")
_BASIC = "basic"
_MODIFIED, _FULL = "retain-longitudinal-modified-dates", "retain-longitudinal-full-dates"
_STRATEGIES = {
    "subject": "Each subject has a shift in whole days, derived from the project key, from {low} to {high} days.",
    "weeks": "Each subject has a shift in whole weeks, derived from the project key, from {low} to {high} days.",
    "fixed": "The dates of all subjects are shifted by one number of whole days, which would undo it and is not told.",
    "anchor": "Each subject's dates are shifted by whole days so that the first study met falls on {anchor}.",
    "crosswalk": "Each subject's dates are shifted by the days that an imported table gives.",
    "random": "Each subject has a shift in whole days, drawn at random and kept, from {low} to {high} days.",
    "month": "Dates become the first day of their month, times of day midnight; intervals are lost.",
    "year": "Dates become the first day of their year, times of day midnight; intervals are lost.",
    "remove": "No date is retained.",
}
_SHIFTED = (
    "The shift is never 0. It moves DA, and the date in DT; times of day and offsets from UTC stay, so every interval "
    "stays as it is, over midnight too, as does decay correction. A DT of a month or a year becomes the one that its "
    "earliest day moves to, or its latest day where the shift is to the future."
)
_UNREADABLE = "A value that cannot be read as a date or time is removed."
_REFERENCES = "U*"
"""What the table's code of the two sequences of referenced and source images ends with: their references may stay."""
_CLEANING = frozenset(
    {"clean-descriptors", "clean-structured-content", "retain-device-identity", "retain-patient-characteristics"}
)
"""The options by which text is cleaned."""
_TEXT = (
    "- Text (E.3.5): words of a vocabulary that is known to be safe stay, as do measures, vertebrae, kernels and the",
    "  like; all others go, a word in another script too. A lone number or letter goes beside a word that goes,",
    "  numbers in a row go, and so does the word behind a title. The instance's own names, numbers, institutions and",
    "  birth date go in every spelling, though they be made of safe words. Nothing shows where something was.",
)
_CONTENT = (
    "- Structured content (E.3.4): each content item by its concept name and value type in table E.3.4-1, retired",
    "  SNOMED codes too. Of other concepts codes, numbers, coordinates, containers and references stay, names become a",
    "  dummy value, UIDs are replaced, text is cleaned, and dates are treated as below. Where items refer to others by",
    "  number, one that has to go stays with a dummy value.",
)
_PIXELS = (
    "- Pixel Data: every sample stays. What follows the frames goes, and of compressed frames what decoding does not",
    "  need: EXIF, comments, JUMBF, boxes, offsets that are none. Overlays in unused bits of a sample are cleared.",
)


def statement(recipe: Recipe) -> str:
    """Return the statement."""
    parts = (_head, _removed, _replaced, _encrypted, _scope, _inserted, _syntaxes, _options, _restrictions, _manner)
    return "\n".join(line for part in parts for line in [*part(recipe), ""]).rstrip() + "\n"


def _head(recipe: Recipe) -> list[str]:
    return [
        f"# Conformance statement of the recipe {recipe.name}",
        "",
        f"dicom-farm {__version__} with this recipe conforms to the Basic Application Level Confidentiality Profile of",
        "PS3.15 as a de-identifier, with the options listed below. It describes what E.1.3 asks for, item by item, and",
        f"table E.1-1 is that of edition {e1_1.EDITION}. The recipe's digest is `{recipe.digest}`.",
    ]


def _removed(recipe: Recipe) -> Iterator[str]:
    yield "## 1. Attributes that are removed"
    yield ""
    yield from _listed(recipe, "By table E.1-1 and the recipe's own rules", {Action.REMOVE})
    yield "- Group lengths; groups 0000, 0002 and 0004 in a data set; groups of curves and overlays as a whole."
    private_kept = recipe.policy.has("retain-safe-private")
    yield f"- Private attributes{', but for those described at the end' if private_kept else ''}."
    yield "- The 128-byte preamble, File Meta Information (written anew), and whatever follows the data set."
    if recipe.policy.unlisted_removed:
        yield (
            "- Attributes without a row in table E.1-1 that could carry text or a date by their VR, or are of VR OB or "
            "UN. Code strings are reduced to known terms, codes to those of public vocabularies, ICC profiles and "
            "palettes to their colours; UIDs are replaced."
        )
        yield from _names(
            "Of those without a row these stay, as technical values that devices write", recipe.policy.keep
        )
    else:
        yield "- Attributes without a row in table E.1-1 are retained."


def _replaced(recipe: Recipe) -> Iterator[str]:
    yield "## 2. Attributes that are replaced, and how"
    yield ""
    compound = [(tag, _REFERENCES in decision.rule) for tag, decision in _rows(recipe) if _is_compound(decision)]
    by_type = "By the attribute's Type in the IOD removed (3), emptied (2) or a dummy value (1)"
    yield from _names(by_type, [tag for tag, refers in compound if not refers])
    kept = "Kept" if recipe.policy.unlisted_removed else "By the Type removed (3), emptied (2) or kept (1)"
    yield from _names(f"{kept}, with the UIDs in their items replaced", [tag for tag, refers in compound if refers])
    yield from _listed(recipe, "Emptied", {Action.EMPTY})
    yield from _listed(recipe, "Replaced by a dummy value", {Action.DUMMY})
    yield from _listed(recipe, "UIDs replaced", {Action.UID})
    yield from _listed(recipe, "Cleaned, as described at the end", {Action.CLEAN})
    yield from _listed(recipe, "Retained by an option or the recipe's own rules", {Action.KEEP})
    yield "- Where removing would break a Type 1 or 2 attribute, it gets a dummy value or is emptied instead (E.1.1)."
    yield f"- Patient's Name and Patient ID: the subject's pseudonym, {_pseudonym(recipe)}."
    yield f"- New UIDs: {_uids(recipe)}. UIDs that the standard assigns are retained."
    yield "- Ages (VR AS) over 89 years become 090Y, values that are no age are emptied."
    yield "- Encapsulated documents become a minimal one of the same MIME type (PDF, XML as CDA, STL, OBJ, MTL), or the"
    yield "  word REMOVED where the type is another."
    yield "- Dummy values are the same for everybody: by VR as follows, or a value that PS3.3 enumerates for the"
    yield "  attribute; a sequence gets one item that is valid for its macro:"
    yield ""
    yield "| VR | Dummy value |"
    yield "|---|---|"
    for vr in _DUMMY_VRS:
        yield f"| {vr} | `{_dummy(vr)}` |"
    yield "| UI | a new UID; `2.25.0` in the item of a dummy sequence |"
    yield "| others | zero |"


def _encrypted(_recipe: Recipe) -> Iterator[str]:
    yield "## 3. Encrypted Attributes Data Sets"
    yield ""
    yield "None are made, so no keys are selected for them; those of the original are removed. The way back to an"
    yield "original is the registry of `farm run`, where originals are sealed by AES-256-GCM under a key of their own."


def _scope(recipe: Recipe) -> Iterator[str]:
    yield "## 4. Scope of referential integrity"
    yield ""
    missing = "belongs to a subject of its own study" if recipe.subject_by_study else "is quarantined"
    domain = f"the domain `{recipe.domain}`" if recipe.domain else "none at all"
    yield "All instances of one project: across studies, runs, machines and years, a UID has one replacement wherever"
    yield "it stands, and a subject one pseudonym and one way in which dates are modified. A subject is an issuer"
    yield f"(where the instance names none: {domain}) and a Patient ID; an instance without a Patient ID {missing}."


def _inserted(recipe: Recipe) -> Iterator[str]:
    yield "## 5. Attributes and values that are inserted"
    yield ""
    yield "- Patient Identity Removed (0012,0062): YES"
    yield "- De-identification Method (0012,0063): a text that names the program and the edition, after what was there"
    yield "- De-identification Method Code Sequence (0012,0064), after those codes of CID 7050 that were there:"
    for name, code, meaning in methods.ROWS:
        if name == _BASIC or recipe.policy.has(name.replace("_", "-")):
            yield f"    - ({code}, DCM, {meaning})"
    yield f"- Longitudinal Temporal Information Modified (0028,0303): {recipe.policy.temporal}"
    yield "- File Meta Information that names the program"


def _syntaxes(recipe: Recipe) -> Iterator[str]:
    yield "## 6. Transfer syntaxes"
    yield ""
    kept = "as it was"
    if recipe.transfer_syntax != KEEP:
        kept = "as Explicit VR Little Endian where it was Implicit VR, else as it was"
    if recipe.wanted.syntax:
        kept = f"as {recipe.wanted.syntax} where the pixels can be had in it, else {kept}"
    yield "For Encrypted Attributes Data Sets: none, as none are made. Instances are read in every transfer syntax of"
    yield f"PS3.5 but those of real-time video (SMPTE ST 2110); the transfer syntax is written {kept}."


def _options(recipe: Recipe) -> Iterator[str]:
    yield "## 7. Options"
    yield ""
    yield "| Option | Code | Applied |"
    yield "|---|---|---|"
    for name, code, meaning in methods.ROWS:
        if name != _BASIC:
            yield f"| {meaning} | {code} | {'yes' if recipe.policy.has(name.replace('_', '-')) else 'no'} |"


def _restrictions(recipe: Recipe) -> Iterator[str]:
    policy = recipe.policy
    yield "## 8. Restrictions"
    yield ""
    allowed = (
        "de-identified by the same rules, which the standard does not define" if policy.private_classes else "refused"
    )
    yield f"- Instances of private SOP classes are {allowed}; a DICOMDIR is refused."
    risk = "quarantined" if recipe.quarantine_at_risk else "passed and counted"
    yield f"- Pixel data is not examined: instances whose pixels may show identifying text are {risk}, and quarantined"
    yield "  where an overlay is compressed with them. Voices and faces in other media are not dealt with."
    yield "- The project key must stay secret: replacements that derive from it cannot be recomputed without it."
    if policy.own:
        yield "- The recipe's own rules, before those of the table:"
    for tag, action in policy.own:
        yield f"    - {_name(tag)}: {action.value}"
    if policy.allow_weaken:
        yield "- Its rules and a program's callbacks may leave more than the profile allows; conformance is then not"
        yield "  claimed for what they leave."


def _manner(recipe: Recipe) -> Iterator[str]:
    policy = recipe.policy
    yield "## Manner of cleaning, of date modification, and what is retained"
    yield ""
    if policy.unlisted_removed or policy.options & _CLEANING or Action.CLEAN in dict(policy.own).values():
        yield from _TEXT
    if policy.has("clean-structured-content"):
        yield from _CONTENT
    if policy.has("clean-graphics"):
        yield "- Graphics (E.3.3): Graphic Annotation Sequence stays, and each attribute in its items, text among them,"
        yield "  is decided on its own by the rules above; overlays and curves are removed."
    if policy.has("retain-patient-characteristics"):
        yield "- Patient characteristics (E.3.7): retained where table E.1-1 says K, cleaned as text where it says C."
    if policy.has("retain-device-identity"):
        yield "- Device identity (E.3.8): retained where table E.1-1 says K, cleaned as text where it says C, as with"
        yield "  Application Entity titles."
    yield f"- Dates (E.3.6): {_dates(recipe)}"
    yield from _PIXELS
    if policy.has("retain-safe-private"):
        yield "- Private attributes (E.3.10) known to be safe, as they are: blocks that the instance declares SAFE in"
        yield "  (0008,0303) and elements that it lists in (0008,0304), and those of table E.3.10-1, edition"
        yield f"  {private.EDITION}, with their creators. Private sequences of such blocks stay, and each attribute in"
        yield "  their items is decided on its own."
        yield from _safe_private()


def _dates(recipe: Recipe) -> str:
    if recipe.policy.has(_FULL):
        return "retained as they are."
    if not recipe.policy.has(_MODIFIED):
        return "removed, emptied or replaced by dummy values."
    low, high = recipe.shift_range
    told = _STRATEGIES[recipe.strategy].format(low=low, high=high, anchor=recipe.anchor)
    if recipe.strategy == "remove":
        return told
    return f"{told} {_UNREADABLE}" if recipe.strategy in {"month", "year"} else f"{told} {_SHIFTED} {_UNREADABLE}"


def _pseudonym(recipe: Recipe) -> str:
    return {
        "keyed": "derived from the project key by HMAC-SHA256",
        "number": f"a running number after `{recipe.prefix}`",
        "crosswalk": "taken from an imported table",
    }[recipe.pseudonyms]


def _uids(recipe: Recipe) -> str:
    made = {"keyed": "derived from the project key by HMAC-SHA256", "recorded": "drawn at random and kept"}
    return f"`{recipe.uid_root}.` and a number {made[recipe.uid_method]}"


def _rows(recipe: Recipe) -> Iterator[tuple[int, Decision]]:
    """Yield what happens to each attribute of table E.1-1, and to those with a rule of the recipe's own."""
    listed = {int(pattern, 16) for pattern, _, _ in e1_1.ROWS if "x" not in pattern and pattern != "odd"}
    for tag in sorted(listed | {tag for tag, _ in recipe.policy.own}):
        yield tag, recipe.policy.decide(tag, vr_of(tag), (), _UNKNOWN)


def _is_compound(decision: Decision) -> bool:
    return decision.layer == "profile" and "/" in decision.rule


def _listed(recipe: Recipe, title: str, actions: set[Action]) -> Iterator[str]:
    found = [tag for tag, decision in _rows(recipe) if decision.action in actions and not _is_compound(decision)]
    yield from _names(title, found)


def _names(title: str, found: Iterable[int]) -> Iterator[str]:
    names = ", ".join(_name(tag) for tag in sorted(found))
    if names:
        yield f"- {title}: {names}."


def _name(tag: int) -> str:
    return f"{tags.keyword(tag)} {tags.written(tag)}".lstrip()


def _dummy(vr: str) -> str:
    """Return the dummy value of a VR as text."""
    element = dummies.element(0x00100010, vr, EXPLICIT)
    return element[12 if vr in LONG_VRS else 8 :].decode("ascii").rstrip()


def _safe_private() -> Iterator[str]:
    by_creator: dict[str, list[str]] = {}
    for group, element, creator, _, _ in private.ROWS:
        by_creator.setdefault(creator, []).append(f"({group:04x},xx{element:02x})")
    for creator, elements in sorted(by_creator.items()):
        yield f"    - {creator}: {', '.join(elements)}"
