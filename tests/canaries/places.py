"""Where canaries are put: every attribute that can carry one, at three depths, and every place beside them.

Nesting is done in sequences that table E.1-1 does not list, because those stay: what is in them has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from tests.canaries.marks import KINDS, Mint
from tests.generate.part10 import code, item_of, put

DEPTHS: dict[str, tuple[int, ...]] = {
    "top": (),
    "1": (0x00082218,),
    "3+": (0x52009229, 0x00209071, 0x00082218, 0x00082220),
}
"""Anatomic Region Sequence; the same and its modifier in the shared functional groups of an enhanced instance."""

_ITEM_TEXT, _ITEM_CODE = 0x00080104, 0x00080100
_REFERENCES = frozenset({0x00081140, 0x00082112})  # kept by X/Z/U*, with the UIDs in their items replaced
_ELSEWHERE = frozenset(
    {0x00041511, 0xFFFCFFFC, 0x00420011, 0x0040A730, 0x00080005, 0x00080016, 0x00080060, 0x00282000}
    | {0x00180050, 0x00180060, 0x00200012}
)
_GROUPS_ELSEWHERE = frozenset({0x0000, 0x0002, 0x0004, 0x7FE0, 0xFFFA, 0xFFFC, 0xFFFE})
_ALWAYS = frozenset({0x00080018, 0x00100020, 0x0020000D, 0x0020000E})  # without these no file is an instance
_NOT_TEXT = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An attribute that can carry a canary; `listed`: it has a row in table E.1-1."""

    tag: int
    vr: str
    listed: bool

    def category(self, depth: str) -> str:
        """Return the category of what is planted here."""
        if self.tag in _REFERENCES:
            return f"kept reference/{depth}"
        return f"{'table' if self.listed else 'unlisted'}/{KINDS[self.vr]}/{depth}"


def _places() -> Iterator[Place]:
    listed = {int(pattern, 16) for pattern, _, _ in ROWS if pattern != "odd" and "x" not in pattern}
    for tag in sorted(listed | set(DicomDictionary)):
        vr = _NOT_TEXT.get(vr_of(tag), vr_of(tag))
        reached = any(tag in path for path in DEPTHS.values())
        image = (tag >> 16 == 0x0028 and vr in {"CS", "OW"}) or tag == 0x00280008
        if vr not in KINDS or tag >> 16 in _GROUPS_ELSEWHERE or tag in _ELSEWHERE or reached or image:
            continue
        if tag in listed or vr != "SQ":
            yield Place(tag=tag, vr=vr, listed=tag in listed)


PLACES = tuple(_places())


_MISUSED = ((0x00180050, "DS"), (0x00180060, "DS"), (0x00200012, "IS"))  # Slice Thickness, KVP, Acquisition Number


def add(dataset: Dataset, tag: int, vr: str, value: object) -> None:
    """Add an element exactly as given."""
    dataset.add(DataElement(tag, vr, value))


@dataclass(slots=True)
class Planter:
    """Fills one data set."""

    mint: Mint
    dataset: Dataset = field(default_factory=Dataset)

    def attributes(self, part: int, parts: int) -> None:
        """Plant one part of all attributes at each depth, and all names; all in one without group 0072.

        Tools break on the selectors of hanging protocols, which stand in no image.
        """
        chosen = [
            place
            for at, place in enumerate(PLACES)
            if (at % parts == part or place.vr == "PN" or place.tag in _ALWAYS)
            and (parts > 1 or place.tag >> 16 != 0x0072)
        ]
        for depth, path in DEPTHS.items():
            inner = self.dataset
            for tag in path:
                if tag not in inner:
                    add(inner, tag, "SQ", [Dataset()])
                inner = inner[tag].value[0]
            for place in chosen:
                self._attribute(inner, place, depth, path)
        self._hidden(chosen[:: max(len(chosen) // 40, 1)])

    def _attribute(self, dataset: Dataset, place: Place, depth: str, path: tuple[int, ...]) -> None:
        category = place.category(depth)
        if place.vr != "SQ":
            add(dataset, place.tag, place.vr, self.mint.value(place.vr, category, place.tag, path))
            return
        item = Dataset()
        for tag, vr in ((_ITEM_CODE, "SH"), (_ITEM_TEXT, "LO")):
            add(item, tag, vr, self.mint.value(vr, category, place.tag, path))
        add(dataset, place.tag, "SQ", [item])

    def _hidden(self, chosen: Sequence[Place]) -> None:
        """Plant some attributes in a sequence that is written as UN, its items implicit (PS3.5 6.2.2)."""
        item = Dataset()
        for place in chosen:
            if place.listed and place.vr != "SQ":
                value = self.mint.value(place.vr, "table/un sequence", place.tag, (0x00082228,))
                add(item, place.tag, place.vr, value)
        put(item, SpecificCharacterSet=list(self.mint.charset.terms))
        holder = item_of(PrimaryAnatomicStructureSequence=[item])
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, True
        write_dataset(buffer, holder)
        value = buffer.getvalue()[8:]
        self._raw(0x00082228, "UN", value)

    def _raw(self, tag: int, vr: str, value: bytes) -> None:
        """Add a value that pydicom would not let stand."""
        self.dataset[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)  # noqa: FBT003

    def misused(self) -> None:
        """Plant text where numbers belong; few tools survive it."""
        for tag, vr in _MISUSED:
            self._raw(tag, vr, self.mint.text("misused number", tag).encode())

    def others(self) -> None:
        """Plant in all places that are not attributes of the dictionary."""
        self._private()
        self._graphics()
        self._content()
        text = self.mint.text
        for element, vr in ((0x1500, "CS"), (0x1511, "UI"), (0x1220, "SQ")):
            tag = 0x00040000 | element
            value = (
                self.mint.value(vr, "group 0004", tag) if vr != "SQ" else [item_of(PatientID=text("group 0004", tag))]
            )
            add(self.dataset, tag, vr, value)
        add(self.dataset, 0x00081FFE, "LO", text("unknown tag", 0x00081FFE))
        add(self.dataset, 0x00081FFC, "UN", text("unknown tag", 0x00081FFC).encode())
        document = f"%PDF-1.4\n1 0 obj <</Author ({text('encapsulated document', 0x00420011)})>> endobj\n%%EOF\n"
        add(self.dataset, 0x00420011, "OB", document.encode())
        profile = bytes(128) + b"\0\0\0\1desc\0\0\0\x90\0\0\0\x20desc" + text("icc profile", 0x00282000).encode()
        add(self.dataset, 0x00282000, "OB", profile + b"\0" * (len(profile) % 2))
        for tag in (0x00281201, 0x00281202, 0x00281203, 0x00281221):
            add(self.dataset, tag, "OW", text("palette", tag).encode())
        add(self.dataset, 0xFFFCFFFC, "OB", text("trailing/padding element", 0xFFFCFFFC).encode())

    def _private(self) -> None:
        """Plant private elements with a creator, nested, and without one."""
        mint, group = self.mint, 0x00290000
        add(self.dataset, group | 0x10, "LO", mint.text("private/creator", group | 0x10))
        for element, vr in enumerate(
            ("LO", "OB", "UN", "PN", "DA", "TM", "DT", "UI", "UT", "SH", "CS", "AS", "DS"), 0x1001
        ):
            add(self.dataset, group | element, vr, mint.value(vr, "private/value", group | element))
        inner = item_of(PatientComments=mint.text("private/sequence", 0x00104000, (0x00291040,)))
        self._private_item(inner, (0x00291040,))
        add(self.dataset, 0x00291040, "SQ", [inner])
        for depth in ("1", "3+"):
            item = self.dataset
            for tag in DEPTHS[depth]:
                item = item[tag].value[0]
            self._private_item(item, DEPTHS[depth])
        for tag in (0x00330001, 0x00351001):
            add(self.dataset, tag, "LO", mint.text("private/no creator", tag))

    def _private_item(self, item: Dataset, path: tuple[int, ...]) -> None:
        for tag, vr in ((0x00310010, "LO"), (0x00311020, "LO"), (0x00311021, "UN")):
            value = self.mint.value(vr, "private/nested", tag, path)
            add(item, tag, vr, value)

    def _graphics(self) -> None:
        """Plant overlays and curves, each group with what makes it one."""
        for group in (0x60000000, 0x60020000, 0x601E0000):
            for element, vr, category in (
                (0x3000, "OW", "overlay/data"),
                (0x0022, "LO", "overlay/text"),
                (0x1500, "LO", "overlay/text"),
                (0x4000, "LT", "overlay/text"),
            ):
                add(self.dataset, group | element, vr, self.mint.value(vr, category, group | element))
            plane = ((0x10, "US", 8), (0x11, "US", 10), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1))
            for element, vr, value in (*plane, (0x102, "US", 0)):
                add(self.dataset, group | element, vr, value)
        for group in (0x50000000, 0x50020000):
            for element, vr in ((0x3000, "OW"), (0x0022, "LO"), (0x2500, "LO")):
                add(self.dataset, group | element, vr, self.mint.value(vr, "curve", group | element))

    def _content(self) -> None:
        """Plant a tree of structured content, four levels deep."""
        sequence, category = 0x0040A730, "structured content"
        below: list[Dataset] = []
        for level in range(4):
            path = (sequence,) * (4 - level)
            items = []
            for kind, tag, vr in (
                ("TEXT", 0x0040A160, "UT"),
                ("PNAME", 0x0040A123, "PN"),
                ("DATETIME", 0x0040A120, "DT"),
                ("DATE", 0x0040A121, "DA"),
                ("UIDREF", 0x0040A124, "UI"),
            ):
                item = item_of(RelationshipType="CONTAINS", ValueType=kind)
                item.ConceptNameCodeSequence = [code("121008", "DCM", "Person Observer Name")]
                add(item, tag, vr, self.mint.value(vr, category, tag, path))
                items.append(item)
            items.append(item_of(RelationshipType="CONTAINS", ValueType="CONTAINER", ContentSequence=below))
            below = items
        add(self.dataset, sequence, "SQ", below)
