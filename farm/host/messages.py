"""What the two processes say to each other: JSON, behind its length in four bytes. The frames travel by shared memory.

The codec host has read hostile bytes with libraries in C, so what it says is as hostile: it is data and never pickled
objects, it is bounded, and every field is checked against what it can be. What is anything else is `Nonsense`, and the
host that said it is broken.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Doubt, Options, Region
from farm.frames.layout import Layout
from farm.frames.work import Job, WhyNot
from farm.host.bench import Done, HostFault, Unit
from farm.transcoding.frames import Worked

READY: Final = "ready"
ASK: Final = "ask"
END: Final = "end"
"""Of a video the host asks for frames; what is made of them comes one by one, and is taken before the next is made."""
TOGETHER: Final = 64
"""Units at most of which one message tells what became of them."""
ANSWER: Final = 1 << 16
"""Bytes of the longest message that a codec host has to send."""
_PIECE: Final = 1 << 16

_CODE: Final = re.compile(r"[A-Z0-9_ ]{1,16}")  # the value of a Code String (PS3.5 section 6.2)
_PLACE: Final = re.compile(r"\w{1,64} at ([\w.<> -]{1,64}:\d{1,6}|unknown)", re.ASCII)
_FIELD: Final = re.compile(r"(?!(reason|hint|self)$)[a-z_]{1,32}")
_TEXT: Final = re.compile(r"[ -~]{0,200}")
_NUMBERS: Final = frozenset({"planar", "rows", "columns", "bits_allocated", "bits_stored", "high_bit"})


class Nonsense(ValueError):
    """The other process said what it cannot mean."""


class Channel:
    """One end of the socket between the two; at `until`, a time of the monotonic clock, comes `TimeoutError`."""

    def __init__(self, end: socket.socket, most: int = 1 << 32) -> None:
        """Take a socket, and how many bytes a message may have that comes by it."""
        self._socket, self._most = end, most

    def send(self, message: object, until: float | None = None) -> None:
        """Say something."""
        data = json.dumps(message, separators=(",", ":")).encode()
        self._limit(until)
        self._socket.sendall(len(data).to_bytes(4, "big") + data)

    def receive(self, until: float | None = None) -> object:
        """Return what the other says; raise `EOFError` where it is gone, `Nonsense` where it is no message."""
        length = int.from_bytes(self._exactly(4, until), "big")
        if length > self._most:
            raise Nonsense
        try:
            return json.loads(self._exactly(length, until))
        except (ValueError, RecursionError):
            raise Nonsense from None

    def _exactly(self, length: int, until: float | None) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._limit(until)
            piece = self._socket.recv(min(length - len(data), _PIECE))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def _limit(self, until: float | None) -> None:
        self._socket.settimeout(None if until is None else max(until - time.monotonic(), 0.001))


def of_job(job: Job) -> dict[str, object]:
    """Return what says a job."""
    return {
        "source": job.source,
        "layout": _said(job.layout),
        "count": job.count,
        "options": job.options and _said(job.options),
        "blank": job.blank,
        "prove": job.prove,
    }


def job_of(said: dict[str, Any]) -> Job:
    """Return the job that the farm's own process says."""
    return Job(
        source=said["source"],
        layout=Layout(**said["layout"]),
        count=said["count"],
        options=said["options"] and Options(**said["options"]),
        blank=tuple(Region(*region) for region in said["blank"]),
        prove=said["prove"],
    )


def of_done(done: Done, place: tuple[int, int]) -> dict[str, object]:
    """Return what says what became of a unit; its bytes stand at a place, a start and a length, in shared memory."""
    told: dict[str, object] = {"unit": done.at}
    if isinstance(done.outcome, HostFault):
        where = str(done.outcome)
        return told | {"fault": where if _PLACE.fullmatch(where) else "Exception at unknown"}
    if isinstance(done.outcome, BadInput):
        return told | {"reason": done.outcome.reason, "hint": done.outcome.hint, "fields": done.outcome.fields}
    told |= {"place": place, "changes": _told(done.outcome.changes), "codec": done.codec}
    return told | {"handed_back": done.handed_back, "why_not": done.why_not or ""}


def done_of(told: object, units: dict[int, Unit], read: Callable[[int, int], bytes]) -> Done:
    """Return what became of one of the units that are left, as the codec host tells it.

    `read` returns the bytes at a place, and raises `Nonsense` where there are none.
    """
    match told:
        case {"unit": int(at), "fault": str(where), **rest} if not rest and at in units:
            return Done(at=at, outcome=HostFault(_matching(_PLACE, where)))
        case {"unit": int(at), "reason": str(code), "hint": hint, "fields": dict(named), **rest} if (
            not rest and at in units
        ):
            return Done(at=at, outcome=_refusal(code, hint, named))
        case {
            "unit": int(at),
            "place": [int(start), int(length)],
            "changes": dict(changes),
            "codec": codec,
            "handed_back": bool(handed_back),
            "why_not": str(why),
            **rest,
        } if not rest and at in units:
            try:
                said = _changes(tuple(changes.items()), units[at].job.layout)
            except TypeError:  # a list or an object where a value belongs
                raise Nonsense from None
            _check_length(length, units[at])
            worked = Worked(data=read(start, length), changes=said)
            codec, reason = _matching(_TEXT, codec), _why_not(why)
            return Done(at=at, outcome=worked, codec=codec, handed_back=handed_back, why_not=reason)
    raise Nonsense


def _why_not(code: str) -> WhyNot | None:
    if not code:
        return None
    if code not in set(WhyNot):
        raise Nonsense
    return WhyNot(code)


def most(unit: Unit) -> int:
    """Return how many bytes can become of a unit: an encoder may make more of noise, and writes a header."""
    return 2 * max(unit.job.layout.size * unit.frames, len(unit.frame)) + _PIECE


def _check_length(length: int, unit: Unit) -> None:
    if not 0 < length <= most(unit) or (unit.job.options is None and length != 32):
        raise Nonsense


def _refusal(code: str, hint: object, named: dict[str, object]) -> BadInput:
    if code not in {reason.value for reason in Reason} or len(named) > 8:
        raise Nonsense
    told = {_matching(_FIELD, name): _number_or_text(value) for name, value in named.items()}
    return BadInput(Reason(code), _matching(_TEXT, hint), **told)


def _number_or_text(value: object) -> int | str:
    return value if type(value) is int and abs(value) < 1 << 64 else _matching(_TEXT, value)


@lru_cache(maxsize=256)  # those of an instance's frames are mostly the same
def _changes(said: tuple[tuple[str, object], ...], layout: Layout) -> Changes:
    """Return changes that a layout can undergo."""
    for name, value in said:
        if not _can_be(name, value):
            raise Nonsense
    given = {name: Doubt(str(value)) if name == "doubt" else value for name, value in said}
    changes = Changes(**given)  # type: ignore[arg-type]  # each was looked at
    try:
        changes.apply(layout)
    except BadInput:
        raise Nonsense from None
    return changes


@lru_cache(maxsize=256)
def _told(changes: Changes) -> dict[str, Any]:
    return changes.said()


def _can_be(name: str, value: object) -> bool:
    if name == "doubt":
        return value in set(Doubt)
    if name in {"photometric", "lossy_method", "lost"}:
        return isinstance(value, str) and _CODE.fullmatch(value) is not None
    if name == "lossy_ratio":
        return isinstance(value, int | float) and 0 <= value < 1 << 32
    return name in _NUMBERS and type(value) is int and 0 <= value < 1 << 16


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Nonsense
    return value


def _said(value: Layout | Options) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)}
