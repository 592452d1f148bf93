"""Write the tables of farm/deid/standard from the standard's own (PS3.15, PS3.16), given as a folder of JSON.

usage: generate_tables.py STANDARD_FOLDER [--types HIGHDICOM_STANDARD_FOLDER] [--into farm/deid/standard]
       then `ruff format farm/deid/standard`

The output holds facts only: tags, codes, actions, Types. It is never edited by hand. The Types of PS3.3 come from the
data files in highdicom's wheel (`highdicom/_standard`), which the farm itself does not need; without `--types` their
table is left as it is. SNOMED-RT codes that SNOMED CT replaced (PS3.16 Annex O) come from pydicom.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.sr._snomed_dict import mapping as snomed

Row = tuple[str | int, ...]
Place = tuple[int, ...]
HERE = Path(__file__).parents[1] / "farm" / "deid" / "standard"
_CONCEPT_OPTIONS = {
    "Rtn. UIDs Opt.": "retain_uids",
    "Rtn. Dev. Id. Opt.": "retain_device_identity",
    "Rtn. Inst. Id. Opt.": "retain_institution_identity",
    "Rtn. Pat. Chars. Opt.": "retain_patient_characteristics",
    "Rtn. Long. Full Dates Opt.": "retain_longitudinal_full_dates",
    "Rtn. Long. Modif. Dates Opt.": "retain_longitudinal_modified_dates",
    "Clean Desc. Opt.": "clean_descriptors",
}
_CONTENT = 0x0040A730
_LISTING = "common-instance-reference"
# By which Types a plain action would break an attribute's place: then the place has to be known.
_BROKEN_BY = {"X": {"1", "1C", "2", "2C"}, "Z": {"1", "1C"}}


def profile(source: dict[str, Any]) -> list[Row]:
    """Return table E.1-1 by tag: its pattern, the Basic Profile's action, the options' actions."""
    rows: list[Row] = []
    for row in source["rows"]:
        tag = row["tag"].strip("()").replace(",", "").lower()
        rows.append(("odd" if "odd" in tag else tag, row["basic_profile"], _cells(row["options"])))
    return sorted(rows)


def concepts(source: dict[str, Any]) -> list[Row]:
    """Return table E.3.4-1 by code: value, scheme, value type, meaning, Basic action, the options' actions."""
    return sorted(
        (
            row["Code Value"],
            row["Coding Scheme Designator"],
            row["Value Type"],
            row["Code Meaning"],
            row["Basic Prof."],
            _cells({name: row[column] for column, name in _CONCEPT_OPTIONS.items() if row[column]}),
        )
        for row in source["rows"]
    )


def _cells(actions: dict[str, str]) -> str:
    return " ".join(f"{name}={action}" for name, action in sorted(actions.items()))


def retired(current: list[Row]) -> list[Row]:
    """Return the SNOMED-RT values that stood for the SNOMED CT concepts of a table."""
    values = {row[0] for row in current if row[1] == "SCT"}
    return sorted((old, new) for new, old in snomed["SCT"].items() if new in values)


def private(source: dict[str, Any]) -> list[Row]:
    """Return table E.3.10-1: group, the element's low byte, creator, VR (empty: none given), VM."""
    rows: list[Row] = []
    for row in source["rows"]:
        group, element = row["Data Element"].strip("()").split(",xx")
        vr = " or ".join(sorted(row["VR"].split("/")))
        rows.append((int(group, 16), int(element, 16), row["Private Creator"], vr, row["VM"]))
    return sorted(rows)


def methods(source: dict[str, Any]) -> list[Row]:
    """Return CID 7050: the name by which table E.1-1 calls the profile or option, its DCM code, the code's meaning."""
    rows: list[Row] = []
    for row in source["rows"]:
        words = row["meaning"].removesuffix(" Option").lower().replace("temporal information ", "")
        rows.append(("basic" if row["code"] == "113100" else words.replace(" ", "_"), row["code"], row["meaning"]))
    return rows


_EMPTIED_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "OB", "PN", "SH", "ST", "TM", "UC", "UN", "UR", "UT"}
)
_CODES = frozenset(range(0x00080100, 0x00080124))  # they stand in every coded entry, and have a rule of their own


def places(module: str, attributes: list[dict[str, Any]]) -> dict[Place, str]:
    """Return a module's Types by place; tags without an entry of their own (overlay planes) are left out.

    The source ends before content items repeat: each item of Content Sequence is one, as its parent is (PS3.3 C.17.3).
    """
    found: dict[Place, str] = {}
    for row in attributes:
        keywords = (*row["path"], row["keyword"])
        path = tuple(tag for keyword in keywords if (tag := tag_for_keyword(keyword)))
        if len(path) == len(keywords):
            found[path] = min(row["type"], found.get(path, "3"))  # the strictest comes first: 1 1C 2 2C 3
    if module == "sr-document-content":
        found |= {(_CONTENT, *path): type_ for path, type_ in found.items() if path[0] != _CONTENT}
    return found


def types(folder: Path, table: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the modules' Types where a row of E.1-1 depends on them, the SOP classes' modules, and those that list."""
    classes, iods, modules = (
        json.loads((folder / f"{name}_map.json").read_text())
        for name in ("sop_class_iod", "iod_module", "module_attribute")
    )
    used = {iod: [module["key"] for module in iods[iod]] for iod in classes.values()}
    known = {key: places(key, modules.get(key, [])) for keys in used.values() for key in keys}
    wanted = _dependent(table, (place for found in known.values() for place in found.items()))
    rows: list[Row] = []
    for key, found in sorted(known.items()):
        chosen = {
            ".".join(f"{tag:08x}" for tag in path): type_
            for path, type_ in found.items()
            if path[-1] in wanted or (type_ != "3" and _may_be_emptied(path[-1]))
        }
        if chosen:
            rows.append((key, _cells(chosen)))
    kept = {str(row[0]) for row in rows}
    usages = {iod: module["usage"] for iod in used for module in iods[iod] if module["key"] == _LISTING}
    by_class = [(uid, " ".join(sorted(kept & set(used[iod])))) for uid, iod in sorted(classes.items())]
    return rows, by_class, [(uid, usages[iod]) for uid, iod in sorted(classes.items()) if iod in usages]


def _dependent(table: list[Row], found: Iterable[tuple[Place, str]]) -> set[int]:
    """Return the tags whose action depends on the Type: compound codes, and plain ones that would break a place."""
    seen: dict[int, set[str]] = defaultdict(set)
    for path, type_ in found:
        seen[path[-1]].add(type_)
    codes = {int(str(tag), 16): str(code) for tag, code, _ in table if tag != "odd" and "x" not in str(tag)}
    return {tag for tag, code in codes.items() if "/" in code or seen[tag] & _BROKEN_BY.get(code, set())}


def _may_be_emptied(tag: int) -> bool:
    """Tell whether cleaning, or a recipe that removes unlisted text, may leave nothing of an attribute."""
    return tag not in _CODES and dictionary_VR(tag) in _EMPTIED_VRS


def rendered(title: str, columns: str, edition: str, **tables: list[Row]) -> str:
    """Return the text of a generated module."""
    lines = [f'"""{title}: generated by scripts/generate_tables.py, never edited.', "", columns, '"""', ""]
    lines.append(f'EDITION = "{edition}"')
    for name, rows in tables.items():
        kinds = ", ".join(type(cell).__name__ for cell in rows[0])
        lines += ["", f"{name}: tuple[tuple[{kinds}], ...] = ("]
        lines += [f"    ({', '.join(_literal(cell) for cell in row)})," for row in rows]
        lines.append(")")
    return "\n".join([*lines, ""])


def _literal(cell: str | int) -> str:
    return f"0x{cell:02X}" if isinstance(cell, int) else json.dumps(cell, ensure_ascii=False)


def published(standard: Path) -> dict[str, str]:
    """Return the texts of the modules that hold the standard's own tables, by file name."""
    table, edition = _load(standard, "e1_1", profile)
    texts = {
        "e1_1.py": rendered(
            f"Table E.1-1 of PS3.15, edition {edition}",
            "Each row: its tag (`odd`: any odd group; `x`: any digit), the Basic Profile's action, "
            "the options' actions.",
            edition,
            ROWS=table,
        )
    }
    table, edition = _load(standard, "e3_4_1", concepts)
    texts["concepts.py"] = rendered(
        f"Table E.3.4-1 of PS3.15, edition {edition}",
        "ROWS: a concept name's code value and scheme, the content item's value type, the code's meaning, the Basic\n"
        "Profile's action, the options' actions. RETIRED: a SNOMED-RT value, the SNOMED CT value that replaced it.",
        edition,
        ROWS=table,
        RETIRED=retired(table),
    )
    table, edition = _load(standard, "e3_10_1", private)
    texts["private.py"] = rendered(
        f"Table E.3.10-1 of PS3.15, safe private attributes, edition {edition}",
        "Each row: group, the element's low byte, the private creator, VR (empty: the table gives none), VM.",
        edition,
        ROWS=table,
    )
    table, edition = _load(standard, "cid_7050", methods)
    texts["methods.py"] = rendered(
        f"CID 7050 of PS3.16, de-identification methods, edition {edition}",
        "Each row: the profile or option as table E.1-1 names it, its code in scheme DCM, the code's meaning.",
        edition,
        ROWS=table,
    )
    return texts


def _load(standard: Path, name: str, read: Callable[[dict[str, Any]], list[Row]]) -> tuple[list[Row], str]:
    """Return a published table's rows and edition."""
    (path,) = standard.glob(f"{name}_*.json")
    source = json.loads(path.read_text())
    return read(source), source["edition"].split()[0]


def typed(standard: Path, folder: Path) -> str:
    """Return the text of the module of Types."""
    version = (folder.parent / "version.py").read_text().split("'")[1]
    places_by_module, by_class, listing = types(folder, _load(standard, "e1_1", profile)[0])
    return rendered(
        "Types of PS3.3 where an action depends on them",
        "MODULES: a module and its places, `sequence.sequence.attribute=Type`. SOP_CLASSES: a SOP class and those of\n"
        "its IOD's modules, whatever their usage, that have such places. LISTING: a SOP class whose instances\n"
        "list what they reference, and that module's usage. EDITION: what they were read from.",
        f"highdicom {version}",
        MODULES=places_by_module,
        SOP_CLASSES=by_class,
        LISTING=listing,
    )


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description="Write the tables of the standard.")
    parser.add_argument("standard", type=Path)
    parser.add_argument("--types", type=Path)
    parser.add_argument("--into", type=Path, default=HERE)
    given = parser.parse_args()
    texts = published(given.standard)
    if given.types:
        texts["types.py"] = typed(given.standard, given.types)
    for name, text in texts.items():
        (given.into / name).write_text(text)


if __name__ == "__main__":
    main()
