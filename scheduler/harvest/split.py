"""Find every study of a range of dates at a PACS that caps its answers.

A PACS that stops after so many matches says so by its status, or does not say it (dcm4chee-arc issue 1446). So an
answer is not believed to be whole when its status is not success, when it reaches a limit that is configured, or when
its count is a number that people set limits to: the count of all that came, for a PACS that passes over a key caps what
is not meant as well. Then both halves of the range are asked, down to one minute; what is
capped even there is `unsplittable`. A study without a date or time is in no half: where an answer to the whole held one
that neither half does, the list is not verified either. A PACS that caps everything would be asked for every minute of
every day, so the number of queries has a limit of its own; what is left then is unsplittable too.

No input or output and no clock: `next` says what to ask, `answered` takes the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from scheduler.harvest.ranges import DateRange

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

_LEAST_SUSPECT: Final = 100
_MOST_QUERIES: Final = 10_000


class Splitter:
    """What is still to be asked, and what was found; `find_limit` is the PACS's cap where it is known, else 0."""

    def __init__(
        self,
        first: date | None,
        last: date | None,
        today: date,
        *,
        find_limit: int = 0,
        most_queries: int = _MOST_QUERIES,
    ) -> None:
        self._today = today
        self._limit = find_limit
        self._queries_left = most_queries
        self._open = [DateRange(first=first, last=last)]
        self._in_halves: set[str] = set()
        self._found: dict[str, None] = {}
        self.unsplittable: list[DateRange] = []
        """Ranges whose answers may have been capped, and which were not split further."""

    def next(self) -> DateRange | None:
        """Return the range to ask for, the same one until it is answered; None: all is answered."""
        return self._open[-1] if self._open else None

    def answered(self, asked: DateRange, matches: Iterable[str], *, capped: bool, count: int = 0) -> None:
        """Take the Study Instance UIDs that match a range; `capped`: the PACS did not end with success.

        `count` is how many answers came, if those were more: some are not meant, or stand there twice.
        A query that failed without an answer is no answer: it is asked again, or given up.
        Raise `ValueError` for another range than `next` gave.
        """
        if self.next() != asked:
            raise ValueError("this range was not to be asked")
        self._open.pop()
        self._queries_left -= 1
        found = dict.fromkeys(matches)
        halves = None
        if capped or may_be_capped(max(count, len(found)), self._limit):
            halves = asked.halves(self._today) if self._queries_left > len(self._open) + 1 else None
            if halves is None:
                self.unsplittable.append(asked)
        if halves is None:
            self._found |= found
        else:
            self._in_halves |= found.keys()
            self._open += reversed(halves)

    @property
    def found(self) -> list[str]:
        """Return every study that was seen, each once."""
        return list(self._found | dict.fromkeys(sorted(self._in_halves)))

    @property
    def verified(self) -> bool:
        """Tell whether what was found is all there is: every answer was whole, or its halves held what it did."""
        return not self._open and not self.unsplittable and self._in_halves <= self._found.keys()


def may_be_capped(count: int, find_limit: int) -> bool:
    """Tell whether an answer of so many may not be all there is; `find_limit` is the cap where it is known, else 0."""
    return 0 < find_limit <= count or looks_like_a_limit(count)


def looks_like_a_limit(count: int) -> bool:
    """Tell whether a count is one that people set limits to: 100, 150, 200, 1000, 2500, 512 and so on."""
    if count < _LEAST_SUSPECT:
        return False
    half = 10 ** (len(str(count)) - 1) // 2
    return count % half == 0 or count & (count - 1) == 0
