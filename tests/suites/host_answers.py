"""What a codec host might answer: what it should, something close to that, and anything at all."""

from __future__ import annotations

import json

from hypothesis import strategies as st

ANSWER: dict[str, object] = {
    "unit": 0,
    "place": [0, 32],
    "changes": {"photometric": "MONOCHROME2", "lossy_method": "ISO_15444_1", "lossy_ratio": 2.5},
    "codec": "OpenJPEG 2.5",
    "handed_back": False,
    "why_not": "",
}
REFUSAL: dict[str, object] = {"unit": 0, "reason": "pixel-length", "hint": "a hint", "fields": {"expected": 4}}
FAULT: dict[str, object] = {"unit": 0, "fault": "ValueError at frames:12"}

ANYTHING: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([1 << 40, 1 << 2000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def framed(told: object) -> bytes:
    """Return a message, behind its length."""
    data = json.dumps(told).encode()
    return len(data).to_bytes(4, "big") + data


@st.composite
def answers(draw: st.DrawFn) -> object:
    """Return an answer as it should be with a field of it, or of what is in it, put to something else; or anything."""
    told = dict(draw(st.sampled_from([ANSWER, REFUSAL, FAULT])))
    name = draw(st.sampled_from([*told, "more", ""]))
    if not name:
        return draw(ANYTHING)
    inner = told.get(name)
    if isinstance(inner, dict) and draw(st.booleans()):
        field = draw(st.sampled_from([*inner, "rows", "bits_stored", "planar", "reason", "hint", "self", "a name"]))
        told[name] = inner | {field: draw(ANYTHING)}
    else:
        told[name] = draw(ANYTHING | st.lists(st.integers(-40, 5000), min_size=2, max_size=2))
    return told
