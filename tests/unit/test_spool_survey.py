from __future__ import annotations

import pytest
from fix_farm import CT
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadInput
from farm.pipeline import survey

DATA = CT.read_bytes()
SEEN = survey(DATA)


def test_a_survey_tells_what_is_keyed() -> None:
    """What arrives could not be counted by study, nor held against what was expected."""
    assert SEEN.instance == b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
    assert SEEN.study == b"1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
    assert SEEN.series == b"1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
    assert SEEN.instance.decode() not in repr(SEEN)


@given(st.integers(0, 4000))
def test_a_cut_head_never_tells_another_uid(length: int) -> None:
    """An instance would be refused because a UID is cut in two, or counted under a study that is none."""
    try:
        seen = survey(DATA[:length])
    except BadInput:
        return
    assert seen.instance in {None, SEEN.instance}
    assert seen.study in {None, SEEN.study}
    assert seen.series in {None, SEEN.series}


@pytest.mark.parametrize("value", [b"12345678901", b"ab", b" 7 "])
def test_frames_are_a_number_or_one(value: bytes) -> None:
    """A number of frames that is none would end the survey in a traceback."""
    frames = b"\x28\x00\x08\x00IS" + len(value + b" ").to_bytes(2, "little") + value + b" "
    at = DATA.index(b"\x28\x00\x10\x00US")
    assert survey(DATA[:at] + frames + DATA[at:]).frames == (7 if value == b" 7 " else 1)
