"""The messages between the two processes: what is said comes across, and what cannot be meant is taken for nonsense."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import uids
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Doubt, Options, Region
from farm.frames.work import Job, WhyNot
from farm.host.bench import Done, HostFault, Unit
from farm.host.messages import Channel, Nonsense, done_of, job_of, of_done, of_job
from farm.transcoding.frames import Worked
from tests.suites.codec_suite import layout_of
from tests.suites.host_answers import ANSWER, FAULT, REFUSAL, answers, framed

LAYOUT = layout_of(12, (8, 8), "MONOCHROME2")
JOB = Job(source=uids.RLE, layout=LAYOUT, options=Options(syntax=uids.JPEG_LS))
UNITS = {0: Unit(frame=b"", job=JOB)}
MADE = bytes(range(100))


def read(start: int, length: int) -> bytes:
    """Return bytes that are there."""
    if not 0 <= start <= len(MADE) - length:
        raise Nonsense
    return MADE[start : start + length]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give both ends of a socket."""
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize(
    "job",
    [
        JOB,
        Job(source=uids.J2K, layout=layout_of(8, (3, 4), "RGB"), count=7, prove=False),
        Job(source=uids.RLE, layout=LAYOUT, blank=(Region(row=1, column=2, rows=3, columns=4), Region(0, 0, 1, 1))),
    ],
)
def test_a_job_comes_across(job: Job) -> None:
    """Lost: the host would do something else than it was asked for."""
    assert job_of(json.loads(json.dumps(of_job(job)))) == job


@pytest.mark.parametrize(
    "done",
    [
        Done(at=0, outcome=Worked(data=MADE[3:50], changes=Changes()), codec="numpy 2 to OpenJPH 0.26.3"),
        Done(
            at=0,
            outcome=Worked(
                data=MADE[:1],
                changes=Changes(
                    planar=0, lossy_method="ISO_15444_1", lossy_ratio=3.25, lost="ISO_10918_1", doubt=Doubt.BITS
                ),
            ),
            codec="x",
            handed_back=True,
            why_not=WhyNot.DIFFERS,
        ),
    ],
)
def test_what_was_made_comes_across(done: Done) -> None:
    """Lost: a result would reach the instance without its attributes, or with others."""
    assert isinstance(done.outcome, Worked)
    place = (MADE.index(done.outcome.data), len(done.outcome.data))
    assert done_of(json.loads(json.dumps(of_done(done, place))), UNITS, read) == done


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_comes_across(reason: Reason) -> None:
    """Lost: a reason that the codecs give would be taken for the host's madness."""
    error = BadInput(reason, "a hint, with (marks): 1.2", expected=1 << 40, found=-2, tag="00280010")
    back = done_of(json.loads(json.dumps(of_done(Done(at=0, outcome=error), (0, 0)))), UNITS, read).outcome
    assert isinstance(back, BadInput)
    assert (back.reason, back.hint, back.fields) == (error.reason, error.hint, error.fields)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("ValueError at frames:12", "ValueError at frames:12"),
        ("KeyError at unknown", "KeyError at unknown"),
        ("E at <frozen importlib._bootstrap>:3", "E at <frozen importlib._bootstrap>:3"),
        ("SECRET: not a place", "Exception at unknown"),
    ],
)
def test_a_fault_is_a_place(said: str, heard: str) -> None:
    """Lost: the log would not name the place, or name what is none."""
    told = json.loads(json.dumps(of_done(Done(at=0, outcome=HostFault(said)), (0, 0))))
    fault = done_of(told, UNITS, read).outcome
    assert isinstance(fault, HostFault)
    assert str(fault) == heard


@given(told=answers())
def test_whatever_is_answered_is_a_valid_result_or_nonsense(told: object) -> None:
    """Lost: a host that hostile pixels have taken over could reach into this process, its logs or the instance."""
    with suppress(Nonsense):
        done = done_of(told, UNITS, read)
        assert done.at == 0
        assert re.fullmatch("[ -~]{0,200}", done.codec)
        if isinstance(done.outcome, Worked):
            assert done.outcome.data in MADE
            assert done.outcome.changes.apply(LAYOUT)
        elif isinstance(done.outcome, BadInput):
            assert re.fullmatch("[ -~]{0,3000}", str(done.outcome))
        else:
            assert re.fullmatch("[ -~]{0,200}", str(done.outcome))


@pytest.mark.parametrize(
    "told",
    [
        ANSWER | {"unit": 1},
        ANSWER | {"changes": {"rows": 0}},
        ANSWER | {"changes": {"bits_stored": 17}},
        ANSWER | {"changes": {"photometric": "RGB"}},
        ANSWER | {"changes": {"photometric": "Smith^John"}},
        ANSWER | {"changes": {"lossy_ratio": float("nan")}},
        ANSWER | {"changes": {"doubt": "names"}},
        ANSWER | {"changes": {"doubt": ["bits"]}},
        ANSWER | {"changes": {"lost": "its name"}},
        ANSWER | {"changes": {"patient_name": "SECRET"}},
        ANSWER | {"place": [0, 1 << 40]},
        ANSWER | {"codec": "two\nlines"},
        ANSWER | {"why_not": "Smith^John"},
        ANSWER | {"more": 1},
        REFUSAL | {"reason": "no-such-reason"},
        REFUSAL | {"hint": "two\nlines"},
        REFUSAL | {"fields": {"hint": 1}},
        REFUSAL | {"fields": {f"n{'x' * n}": 1 for n in range(9)}},
        FAULT | {"fault": "Smith^John"},
        None,
        [],
        {},
    ],
)
def test_what_cannot_be_meant_is_nonsense(told: object) -> None:
    """Lost: an attribute, a log line or a name could say what nobody checked."""
    with pytest.raises(Nonsense):
        done_of(told, UNITS, read)


def test_a_digest_has_the_length_of_one() -> None:
    """Lost: an empty comparison could pass for an equal one."""
    units = {0: Unit(frame=b"", job=Job(source=uids.RLE, layout=LAYOUT))}
    assert done_of(ANSWER, units, read).at == 0
    with pytest.raises(Nonsense):
        done_of(ANSWER | {"place": [0, 31]}, units, read)


def test_a_message_comes_across_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    """Lost: a message that the kernel cuts in two would be nonsense."""
    here, there = Channel(ends[0]), Channel(ends[1])
    data = framed({"a": "b" * 1000})
    ends[1].sendall(data[:3])
    ends[1].sendall(data[3:500])
    ends[1].sendall(data[500:])
    assert here.receive() == {"a": "b" * 1000}
    here.send([1, "two"])
    assert there.receive(time.monotonic() + 60) == [1, "two"]


@given(data=st.binary(max_size=40))
def test_whatever_comes_is_a_message_or_said_to_be_none(data: bytes) -> None:
    """Lost: a broken host would end the process that uses it."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        with suppress(Nonsense, EOFError):
            Channel(here, 1 << 16).receive()


@pytest.mark.parametrize("data", [b"\xff" * 4, framed("x" * 70_000)[:4], b"\0\0\0\2{]", b"\0\0\1\0" + b"[" * 256])
def test_a_message_that_is_too_long_or_none_is_nonsense(ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    """Lost: a length that is not so would be waited for, or allocated."""
    ends[1].sendall(data)
    with pytest.raises(Nonsense):
        Channel(ends[0], 1 << 16).receive()


def test_a_message_that_does_not_come_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """Lost: a host that sends a byte at a time could hold up a worker for ever."""
    ends[1].sendall(framed("x")[:5])
    with pytest.raises(TimeoutError):
        Channel(ends[0]).receive(time.monotonic())
    with pytest.raises(TimeoutError):
        Channel(ends[1]).send("x" * (1 << 24), time.monotonic() + 0.01)
