"""How fast the frames of an image follow each other, and what a video says of that and of its pixels.

A video shows its frames at one rate, and its pixels are square (PS3.5 8.2.5 to 8.2.11). When frames were acquired is
told by Frame Time, or frame by frame by Frame Time Vector (PS3.3 C.7.6.5); how fast they should be shown, by Cine Rate
and Recommended Display Frame Rate. The former come first: who measures in a video measures by the time in it. A time
is written with few digits (33.3 ms), so it means the whole number of frames a second that it is rounded from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import accumulate

DISPLAY, CINE, FRAME_TIME, VECTOR = 0x00082144, 0x00180040, 0x00181063, 0x00181065
POINTER, ASPECT = 0x00280009, 0x00280034
TAGS = frozenset({DISPLAY, CINE, FRAME_TIME, VECTOR, POINTER, ASPECT})
VRS = {CINE: "IS", FRAME_TIME: "DS", POINTER: "AT"}
REPLACED = frozenset({CINE, POINTER})
"""What is said anew only where it was said before."""
_SECOND = 1000  # milliseconds
_EVEN = 10  # a frame may come by this part of its time too early or too late
_LEAST, _MOST = Decimal("1e-6"), Decimal("1e9")


def rate(values: Mapping[int, bytes]) -> float | None:
    """Return the frames a second that a multi-frame image says it has; None where it says none."""
    time, steps = _positive(values.get(FRAME_TIME, b"")), _steps(values)
    for periods in (steps, time) if _points(values) else (time, steps):
        if periods:
            return _whole(periods)
    shown = next(filter(None, (_positive(values.get(tag, b"")) for tag in (CINE, DISPLAY))), None)
    return float(shown[0]) if shown else None


def films(values: Mapping[int, bytes]) -> bool:
    """Tell whether a video can show an image: its frames follow each other evenly, and its pixels are square."""
    return _is_even(values) and _is_square(values.get(ASPECT, b""))


def filmed(values: Mapping[int, bytes], used: float) -> dict[int, bytes | None]:
    """Return what a video says of the rate that its stream has; what cannot be otherwise is not said."""
    new: dict[int, bytes | None] = {VECTOR: None, ASPECT: None}
    if VECTOR in values or _points(values) or (FRAME_TIME in values and not _positive(values[FRAME_TIME])):
        new[FRAME_TIME] = f"{_SECOND / used:.6g}".encode()
    if _points(values):
        new[POINTER] = _pointer(FRAME_TIME)
    told = _positive(values.get(CINE, b""))
    if CINE in values and not (told and abs(float(told[0]) - used) <= 1 / 2):
        new[CINE] = str(max(1, round(used))).encode()
    return new


def _points(values: Mapping[int, bytes]) -> bool:
    """Tell whether Frame Increment Pointer names Frame Time Vector."""
    return values.get(POINTER, b"")[:4] == _pointer(VECTOR)


def _pointer(tag: int) -> bytes:
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _steps(values: Mapping[int, bytes]) -> list[Decimal]:
    """Return the times between frames; that of the first, which has none before it, is 0."""
    return _positive(values.get(VECTOR, b"").partition(b"\\")[2])


def _is_even(values: Mapping[int, bytes]) -> bool:
    """Tell whether at one rate each frame comes when Frame Time Vector says, but for a tenth of its time."""
    if b"\\" not in values.get(VECTOR, b""):
        return True
    steps = _steps(values)
    mean = sum(steps, Decimal(0)) / max(1, len(steps))
    return bool(steps) and all(abs(at - n * mean) * _EVEN <= mean for n, at in enumerate(accumulate(steps), 1))


def _is_square(aspect: bytes) -> bool:
    """Tell whether Pixel Aspect Ratio is 1 (PS3.3 C.7.6.3.1.7), which it is where nothing is said."""
    text = aspect.strip(b"\0 ")
    sides = _positive(text)
    return not text or (bool(sides) and sides[:1] == sides[1:])


def _whole(periods: Sequence[Decimal]) -> float:
    """Return frames a second: the whole number that the times are rounded from, if they are."""
    mean = sum(periods, Decimal(0)) / len(periods)
    digit = min(int(one.as_tuple().exponent) for one in periods)
    nearest = max(1, round(_SECOND / mean))
    rounded = abs(_SECOND / Decimal(nearest) - mean) * 2 <= Decimal(1).scaleb(digit)
    return float(nearest if rounded else _SECOND / mean)


def _positive(text: bytes) -> list[Decimal]:
    """Return the numbers of a DS or IS; none where one of them is not above zero, or is none."""
    try:
        numbers = [Decimal(one.strip(b"\0 ").decode("latin-1")) for one in text.split(b"\\")]
    except InvalidOperation:
        return []
    return numbers if all(one.is_finite() and _LEAST <= one <= _MOST for one in numbers) else []
