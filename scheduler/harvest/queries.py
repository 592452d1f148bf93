"""What a harvest asks of a PACS, as data: identifiers by tag, for the Study Root model (PS3.4 section C.6.2).

An empty value asks for the attribute to be returned (universal matching). The model is hierarchical: a query at one
level gives the unique keys of the levels above (section C.4.1.2.1). Many a PACS answers an IMAGE query without a series
all the same (relational queries, C.4.1.2.2), and that is one query instead of one for each series; whether it may be
believed is what `insists_on_series` says.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from scheduler.harvest.ranges import DateRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scheduler.harvest.lists import Wanted

Identifier = dict[int, str]

CHARACTER_SET: Final = 0x00080005
SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018
STUDY_DATE: Final = 0x00080020
STUDY_TIME: Final = 0x00080030
ACCESSION: Final = 0x00080050
LEVEL: Final = 0x00080052
AVAILABILITY: Final = 0x00080056
MODALITY: Final = 0x00080060
MODALITIES: Final = 0x00080061
PATIENT: Final = 0x00100020
STUDY: Final = 0x0020000D
SERIES: Final = 0x0020000E
STUDY_INSTANCES: Final = 0x00201208
SERIES_INSTANCES: Final = 0x00201209

_UTF8: Final = "ISO_IR 192"
_SUCCESS: Final = 0x0000
_MOST_UIDS: Final = 500  # a list of UIDs has a length of 16 bits in explicit VR (PS3.5 section 7.1.2)


def dates_of(wanted: Wanted) -> DateRange:
    """Return the range of dates that a row gives."""
    return DateRange(first=wanted.first, last=wanted.last)


def study_query(wanted: Wanted, dates: DateRange | None = None) -> Identifier:
    """Return the identifier of a row's studies; `dates` is a part of the row's range."""
    dates = dates or dates_of(wanted)
    asked = {
        STUDY_DATE: dates.study_date(),
        STUDY_TIME: dates.study_time(),
        ACCESSION: wanted.accession,
        LEVEL: "STUDY",
        AVAILABILITY: "",
        MODALITIES: "",
        PATIENT: wanted.patient,
        STUDY: wanted.study,
        STUDY_INSTANCES: "",
    }
    is_plain = (wanted.accession + wanted.patient).isascii()
    return asked if is_plain else {CHARACTER_SET: _UTF8, **asked}


def series_query(study: str) -> Identifier:
    """Return the identifier of the series of a study."""
    return {LEVEL: "SERIES", MODALITY: "", STUDY: study, SERIES: "", SERIES_INSTANCES: ""}


def image_query(study: str, series: str = "") -> Identifier:
    """Return the identifier of the instances of a series; without one, of the whole study (a relational query)."""
    return {SOP_CLASS: "", SOP_INSTANCE: "", LEVEL: "IMAGE", STUDY: study, SERIES: series}


def insists_on_series(status: int | None, found: int, related: int | None) -> bool:
    """Tell whether the instances have to be asked for series by series, after a relational query.

    `found` matches and a final status came of it; `related` is Number of Study Related Instances, if the PACS says it.
    """
    return status != _SUCCESS or found == 0 or (related is not None and found != related)


def retrieve_study(study: str) -> Identifier:
    """Return the identifier that retrieves a whole study."""
    return {LEVEL: "STUDY", STUDY: study}


def retrieve_instances(study: str, missing: Iterable[tuple[str, str]]) -> Iterator[Identifier]:
    """Yield identifiers that retrieve these (series, SOP instance) alone, each within one series."""
    for series, pairs in groupby(sorted(set(missing)), key=lambda pair: pair[0]):
        uids = [uid for _, uid in pairs]
        for at in range(0, len(uids), _MOST_UIDS):
            some = "\\".join(uids[at : at + _MOST_UIDS])
            yield {SOP_INSTANCE: some, LEVEL: "IMAGE", STUDY: study, SERIES: series}
