"""What the gate remembers from instance to instance: texts that had to go and values of outputs, looked up once.

The instances of a series share most of what has to go and most of what is kept. A memory holds both, and of every pair
of the two it knows whether the one was found in the other. So for a new instance only what is new has to be looked up:
new texts in all values, and all texts in new values. Found pairs stay `suspects`, and are judged for each instance
anew: whether it has that text, whether its own kept values excuse it, whether its output really holds it.

An instance with much of its own empties the memory: it is looked up as a whole then, and nothing is gained or lost.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import accumulate

from farm.deid.gate import haystack
from farm.deid.gate.apart import SHORTEST_DIGITS, number
from farm.deid.gate.charsets import Charsets
from farm.deid.gate.haystack import LONG, Haystack
from farm.deid.gate.needles import SHORTEST_TEXT

_BYTES, _TEXTS = 12_000, 2_000  # squeezed bytes of values, and texts, that a memory holds before it starts afresh


class Memory:
    """Texts in ASCII, values of outputs, and which of the texts were found in any of them."""

    __slots__ = ("_charsets", "_ends", "_numbers", "_short", "_texts", "_unread", "hay", "suspects")

    def __init__(self, charsets: Charsets = ()) -> None:
        self._charsets = charsets
        self.hay = Haystack(frozenset(), frozenset())
        self.suspects: dict[bytes, set[bytes]] = {}
        self._texts: set[bytes] = set()
        self._unread: set[bytes] = set()
        self._ends: set[bytes] = set()
        self._short: set[bytes] = set()
        self._numbers: set[bytes] = set()

    @property
    def is_full(self) -> bool:
        """Tell whether it holds so much that looking things up takes longer than beginning anew."""
        return len(self.hay.squeezed) > _BYTES or len(self._texts) > _TEXTS

    def meet(self, texts: AbstractSet[bytes], values: AbstractSet[bytes], others: AbstractSet[bytes]) -> None:
        """Look up what is new: of the texts that had to go, and of an output's values, texts and others."""
        fresh_values, fresh_others = values - self.hay.texts, others - self.hay.others
        if fresh_values or fresh_others:
            fresh = Haystack(fresh_values, fresh_others, self._charsets)
            if self._texts and self._may_meet(fresh):
                self._look(self._texts, fresh)
            self.hay.add(fresh)
        new = texts - self._texts
        if new:
            self._look(new, self.hay)
            self._texts |= new
            self._unread |= new

    def _look(self, texts: Iterable[bytes], hay: Haystack) -> None:
        """Remember which parts of texts stand in a haystack, by the text."""
        values = list(texts)
        lows, gists = parts(values)
        places = hay.places_of(gists)
        places += [
            place for place, gist in enumerate(gists) if SHORTEST_TEXT <= len(gist) < LONG and gist in hay.squeezed
        ]
        if not places:
            return
        behind = list(accumulate(value.count(b"\\") + 1 for value in values))
        for place in places:
            self.suspects.setdefault(values[bisect_right(behind, place)], set()).add(lows[place])

    def _may_meet(self, fresh: Haystack) -> bool:
        """Tell whether a haystack can hold any of the texts known so far."""
        if self._unread:
            for low, gist in zip(*parts(self._unread), strict=True):
                if len(gist) >= LONG:
                    self._ends.update((gist[-4:], gist[-5:-1], gist[-6:-2], gist[-7:-3]))
                elif len(gist) >= SHORTEST_DIGITS and gist.isdigit():
                    self._numbers.add(gist)  # zeros may stand in front
                elif len(gist) >= SHORTEST_TEXT:
                    self._short.add(haystack.tokens(low)[0])
            self._unread = set()
        if not (self._ends.isdisjoint(fresh.words) and self._short.isdisjoint(fresh.tokens)):
            return True
        return any(digits in fresh.squeezed for digits in self._numbers)


def parts(values: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Return the folded parts of ASCII values between backslashes, and the same squeezed, numbers without zeros."""
    mark = haystack.SEPARATOR
    joined = b"\\".join(values).replace(mark, b"").translate(haystack.LOWER, b"\0").replace(b"\\", mark)
    return joined.split(mark), [
        number(gist) if gist[:1] == b"0" else gist for gist in haystack.squeezed(joined).split(mark)
    ]
