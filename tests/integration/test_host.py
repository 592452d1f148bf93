"""The codec host: what codecs do to it, and what is done to it, costs one instance a reason and nothing else."""

from __future__ import annotations

import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from farm.codecs import uids
from farm.errors import BadInput, Reason, Unavailable
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout
from farm.frames.work import Job, Result, Work
from farm.host import pile, process
from farm.host.host import Host, HostFault, HostLimits
from tests.integration import lying_host
from tests.suites.codec_suite import layout_of, picture
from tests.suites.host_answers import ANSWER, answers, framed
from tests.suites.transcoder_suite import (
    AVC,
    CT,
    SCENE,
    WINDOW,
    TranscoderSuite,
    decoded,
    native_job,
    native_work,
    only,
    reason,
    scenes,
)

ROOT = Path(__file__).parents[2]
FAULTY, LYING = "tests.integration.faulty_host", "tests.integration.lying_host"
LIMITS = HostLimits(window_bytes=WINDOW)
PATIENT = 60
"""Seconds after which what should have happened is taken not to."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Host]:
    """Give one host to all tests that do it no harm."""
    with Host(LIMITS) as host:
        yield host


@pytest.fixture(scope="module")
def threaded() -> Iterator[Host]:
    """Give one host of several threads."""
    with Host(LIMITS, threads=3) as host:
        yield host


class TestHost(TranscoderSuite):
    """A host of one thread is a transcoder."""

    @pytest.fixture
    def transcoder(self, shared: Host) -> Host:
        """Give the host."""
        return shared


class TestThreadedHost(TranscoderSuite):
    """A host of several threads is one too."""

    @pytest.fixture
    def transcoder(self, threaded: Host) -> Host:
        """Give the host."""
        return threaded


@pytest.fixture(scope="module")
def lying() -> Iterator[Host]:
    """Give a host that answers what its frames hold."""
    with Host(replace(LIMITS, frame_seconds=30), program=LYING) as host:
        yield host


@pytest.fixture(params=[1, 3], ids=["one-thread", "three-threads"])
def faulty(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Give a host whose codecs fail of marked frames, and that waits two seconds for a frame."""
    limits = replace(LIMITS, frame_seconds=2, memory_bytes=1 << 30)
    with Host(limits, threads=request.param, program=FAULTY) as host:
        yield host


def marked(mark: str, path: object = "") -> bytes:
    """Return a native frame that begins with a mark and a path."""
    return f"{mark:8}{path}".encode().ljust(CT.size, b"\0")


def good(count: int = 1, seed: int = 0) -> Work:
    """Return work on frames that every codec likes."""
    return native_work([picture(CT, seed + number) for number in range(count)], CT, uids.RLE)


def bad(frame: bytes, *, among: int = 0) -> Work:
    """Return work on a frame, with good ones before and after it."""
    frames = [picture(CT).tobytes()] * among
    return Work(job=native_job(CT, uids.RLE), frames=[*frames, frame, *frames])


def assert_good(result: Result | BadInput, work: Work) -> None:
    """Check that a work of `good` was done."""
    done = decoded(only([result]), work.job)
    for samples, frame in zip(done, work.frames, strict=True):
        assert samples.tobytes() == frame


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("SEGFAULT", Reason.CODEC_CRASHED),
        ("ABORTING", Reason.CODEC_CRASHED),
        ("HANGING", Reason.CODEC_HUNG),
        ("EATING", Reason.CODEC_MEMORY),
    ],
)
def test_a_codec_that_fails_costs_its_instance_and_no_other(faulty: Host, mark: str, expected: Reason) -> None:
    """Lost: one instance could end a worker, hold it up for ever, or take the rest of its parcel with it."""
    before, after = good(3), good(20, seed=3)
    found = faulty.run([before, bad(marked(mark), among=2), after])
    assert reason(found[1]) is expected
    assert_good(found[0], before)
    assert_good(found[2], after)
    assert_good(faulty.run([after])[0], after)


def test_several_bad_instances_each_get_their_own_reason(faulty: Host) -> None:
    """Lost: of two instances that kill, one would be blamed for the other, or a good one for both."""
    works = [bad(marked("ABORTING")), good(), bad(marked("EATING")), good(), bad(b"short"), bad(marked("SEGFAULT"))]
    found = faulty.run(works)
    assert [reason(found[at]) for at in (0, 2, 4, 5)] == [
        Reason.CODEC_CRASHED,
        Reason.CODEC_MEMORY,
        Reason.PIXEL_LENGTH,
        Reason.CODEC_CRASHED,
    ]
    for at in (1, 3):
        assert_good(found[at], works[at])


def test_an_instance_whose_every_frame_kills_is_given_up_at_the_first(faulty: Host) -> None:
    """Lost: an instance of a thousand bad frames would start two thousand processes."""
    asked = 0

    def frames() -> Iterator[Frame]:
        nonlocal asked
        for _ in range(1000):
            asked += 1
            yield marked("ABORTING")

    [found] = faulty.run([Work(job=native_job(), frames=frames())])
    assert reason(found) is Reason.CODEC_CRASHED
    assert asked <= WINDOW // CT.size


@pytest.mark.parametrize("mark", ["DIE ONCE", "HANGONCE"])
def test_what_killed_once_gets_a_second_chance(faulty: Host, tmp_path: Path, mark: str) -> None:
    """Lost: an instance would be quarantined because something else ended the host while it was its turn."""
    found = faulty.run([good(), bad(marked(mark, tmp_path / "was here"), among=1), good()])
    assert [len(only([one]).streams) for one in found] == [1, 3, 1]
    assert (tmp_path / "was here").exists()


@pytest.mark.parametrize(
    ("mark", "expected"),
    [("ABORTING", Reason.CODEC_CRASHED), ("HANGING", Reason.CODEC_HUNG), ("EATING", Reason.CODEC_MEMORY)],
)
def test_a_video_that_fails_costs_its_instance_and_no_other(faulty: Host, mark: str, expected: Reason) -> None:
    """Lost: a frame on its way into a video could do what no other frame can."""
    frames = [scene.tobytes() for scene in scenes(3)]
    bad_scene = marked(mark).ljust(SCENE.size, b"\0")
    job, work = native_job(SCENE, AVC, count=4), good(3)
    found = faulty.run([Work(job=job, frames=[bad_scene, *frames]), work])
    assert reason(found[0]) is expected
    assert_good(found[1], work)


def test_a_video_that_killed_once_gets_a_second_chance(faulty: Host, tmp_path: Path) -> None:
    """Lost: a video, which takes longest of all, would be lost to whatever ends the host meanwhile."""
    frames = [scene.tobytes() for scene in scenes(3)]
    once = marked("DIE ONCE", tmp_path / "was here").ljust(SCENE.size, b"\0")
    [found] = faulty.run([Work(job=native_job(SCENE, AVC, count=4), frames=[*frames, once])])
    assert len(only([found]).streams) == 1
    assert (tmp_path / "was here").exists()


def test_our_own_fault_is_told_by_its_place_alone(faulty: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Lost: a fault of ours would pass for one of the instance, or its text, with a value in it, reach the log."""
    with caplog.at_level(logging.ERROR), pytest.raises(HostFault, match=r"^ValueError at faulty_host:\d+$"):
        faulty.run([good(), bad(marked("RAISING"), among=1), good(20)])
    assert "ValueError at faulty_host" in caplog.text
    assert "SECRET" not in caplog.text
    work = good(3)
    assert_good(faulty.run([work])[0], work)


def test_a_host_that_loses_memory_is_replaced_before_it_fails_others(faulty: Host) -> None:
    """Lost: a library that loses memory would quarantine instances long after the one that it lost it for."""
    assert isinstance(faulty.run([bad(marked("LEAKING"))])[0], Result)
    leaked, work = faulty.pid, good()
    assert_good(faulty.run([work])[0], work)
    assert faulty.pid != leaked


def test_a_host_that_is_killed_between_runs_costs_nothing(shared: Host) -> None:
    """Lost: what ended an idle process would be blamed on the next instance."""
    work = good()
    assert_good(shared.run([work])[0], work)
    before = shared.pid
    assert before
    ended = os.pidfd_open(before)
    os.kill(before, signal.SIGKILL)
    assert select.select([ended], [], [], PATIENT)[0]
    os.close(ended)
    assert_good(shared.run([work])[0], work)
    assert shared.pid != before


def test_a_host_that_is_killed_at_work_costs_nothing(shared: Host) -> None:
    """Lost: the kernel, short of memory, would quarantine whatever was in hand."""
    sent: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(100):
            if number in {30, 60} and shared.pid:
                os.kill(shared.pid, signal.SIGKILL)
                sent.append(shared.pid)
            yield picture(CT, number).tobytes()

    work = Work(job=native_job(CT, uids.HTJ2K_LOSSLESS), frames=frames())
    done = decoded(only(shared.run([work])), work.job)
    assert all((one == picture(CT, number)).all() for number, one in enumerate(done))
    assert len(done) == 100
    assert len(set(sent)) == 2


def test_the_host_dies_with_its_parent_in_the_middle_of_work(tmp_path: Path) -> None:
    """Lost: every killed worker would leave a process behind that holds pixels and a processor, perhaps for ever."""
    told = tmp_path / "told"
    os.mkfifo(told)
    frame = marked("HOLDING", told)
    lines = f"""
from farm.host.host import Host, HostLimits
from farm.frames.work import Work
from tests.suites.transcoder_suite import native_job
with Host(HostLimits(frame_seconds=600), program={FAULTY!r}) as host:
    host.run([Work(job=native_job(), frames=[bytes({CT.size})])])
    print(host.pid, flush=True)
    host.run([Work(job=native_job(), frames=[bytes.fromhex({frame.hex()!r})])])
"""
    with subprocess.Popen([sys.executable, "-c", lines], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        ended = os.pidfd_open(int(parent.stdout.readline()))
        assert told.read_text() == "here"  # its codec has the interpreter, and keeps it
        parent.kill()
    assert select.select([ended], [], [], PATIENT)[0]
    os.close(ended)


def test_the_host_ends_with_its_parent_between_runs() -> None:
    """Lost: a worker that ends in good order would leave its host behind."""
    host = Host(LIMITS)
    host.run([good()])
    assert host.pid
    ended = os.pidfd_open(host.pid)
    host.close()
    assert host.pid is None
    assert select.select([ended], [], [], PATIENT)[0]
    os.close(ended)
    host.close()


def test_nothing_of_ours_is_known_to_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lost: what breaks into a codec would find the keys' names, the database's password, or an open file of ours."""
    monkeypatch.setenv("FARM_DATABASE_URL", "postgresql://farm:SECRET@db/farm")
    monkeypatch.setenv("HOME", "/SECRET")
    (tmp_path / "open").touch()
    with (tmp_path / "open").open() as ours, Host(LIMITS) as host:
        os.set_inheritable(ours.fileno(), True)  # noqa: FBT003 - the standard library's own signature
        host.run([good()])
        there = Path(f"/proc/{host.pid}")
        environment = (there / "environ").read_bytes()
        assert b"SECRET" not in environment + (there / "cmdline").read_bytes()
        names = {entry.split(b"=")[0] for entry in environment.split(b"\0") if entry}
        memory = {b"MALLOC_MMAP_THRESHOLD_", b"MALLOC_TRIM_THRESHOLD_"}
        assert names == {b"PATH", b"LC_ALL", b"PYTHONPATH", b"OPENBLAS_NUM_THREADS"} | memory
        assert (there / "cwd").readlink() == Path("/")
        links = {str(link.readlink()) for link in (there / "fd").iterdir()}
        kinds = {link.split(":")[0] for link in links}
        assert kinds == {"/dev/null", "socket", "pipe", "/memfd"}, links
        limits = resource.prlimit(host.pid or 0, resource.RLIMIT_CORE)
        assert limits == (0, 0)
        assert resource.prlimit(host.pid or 0, resource.RLIMIT_AS)[0] < 6 << 30
        assert (there / "oom_score_adj").read_text().strip() == "1000"


def test_no_descriptor_is_left_by_fifty_hosts() -> None:
    """Lost: a worker that meets enough bad instances would run out of descriptors."""

    def descriptors() -> set[str]:
        return {link.name for link in Path("/proc/self/fd").iterdir()}

    with Host(replace(LIMITS, frame_seconds=30), program=LYING) as host:
        before = descriptors()
        for _ in range(25):
            assert reason(host.run([Work(job=native_job(), frames=[b"no answer"])])[0]) is Reason.CODEC_CRASHED
        assert descriptors() == before


@pytest.mark.parametrize("program", ["tests.integration.no_such_host", "this", "json"])
def test_a_host_that_does_not_start_is_away(program: str) -> None:
    """Lost: a broken installation would quarantine every instance that needs a codec."""
    with Host(LIMITS, program=program) as host, pytest.raises(Unavailable) as away:
        host.run([good()])
    assert away.value.reason is Reason.SERVER_FAILED


def test_a_host_that_cannot_be_made_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a machine out of processes or descriptors would quarantine every instance that needs a codec."""
    monkeypatch.setattr(process.sys, "executable", "/nonexistent/python")  # type: ignore[attr-defined]
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Host(LIMITS) as host, pytest.raises(Unavailable) as away:
        host.run([good()])
    assert away.value.reason is Reason.SERVER_FAILED
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_frame_beyond_the_limit_is_not_asked_for(shared: Host) -> None:
    """Lost: an instance of a few bytes could have gigabytes allocated."""

    def frames() -> Iterator[Frame]:
        raise AssertionError
        yield b""

    with Host(replace(LIMITS, frame_bytes=CT.size)) as host:
        small, large = good(), Work(job=native_job(Layout(rows=60_000, columns=60_000)), frames=frames())
        found = host.run([large, small])
    assert reason(found[0]) is Reason.PIXELS_TOO_LARGE
    assert_good(found[1], small)
    assert reason(shared.run([large])[0]) is Reason.PIXELS_TOO_LARGE


def test_a_frame_larger_than_a_window_and_an_empty_one(shared: Host) -> None:
    """Lost: the border cases of handing over would be taken for deaths."""
    layout = layout_of(16, (256, 256), "MONOCHROME2")
    assert layout.size > 4 * WINDOW
    frames = [picture(layout, seed) for seed in range(3)]
    work = native_work(frames, layout, uids.HTJ2K_LOSSLESS)
    pid = shared.pid
    found = shared.run([work, Work(job=native_job(), frames=[b""]), good()])
    assert all((one == frame).all() for one, frame in zip(decoded(only(found[:1]), work.job), frames, strict=True))
    assert reason(found[1]) is Reason.PIXEL_LENGTH
    assert shared.pid == pid or pid is None


def test_an_exception_of_the_source_leaves_no_answer_behind(shared: Host) -> None:
    """Lost: the next instance would be given another's pixels."""

    def frames() -> Iterator[Frame]:
        yield picture(CT, 5).tobytes()
        raise KeyError

    with pytest.raises(KeyError):
        shared.run([good(), Work(job=native_job(), frames=frames())])
    work = good(3, seed=7)
    assert_good(shared.run([work])[0], work)


class Interrupt(Exception):
    """What a soft time limit raises, in the middle of whatever is done."""


def test_an_interrupt_in_the_middle_of_work_leaves_no_answer_behind(faulty: Host, tmp_path: Path) -> None:
    """Lost: after a soft time limit the next instance would be given another's pixels."""
    told = tmp_path / "told"
    os.mkfifo(told)

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupt

    def wait_and_interrupt() -> None:
        told.read_text()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    waiting = threading.Thread(target=wait_and_interrupt)
    waiting.start()
    try:
        with pytest.raises(Interrupt):
            faulty.run([good(), bad(marked("HOLDING", told))])
    finally:
        waiting.join()
        signal.signal(signal.SIGUSR1, before)
    assert faulty.pid is None
    work = good(3, seed=7)
    assert_good(faulty.run([work])[0], work)


def test_large_results_wait_in_a_file_without_a_name(
    shared: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: an instance of many large frames would be in memory as a whole, or its pixels in a file that stays."""
    monkeypatch.setattr(pile, "_KEPT", 3 * CT.size)
    with Host(replace(LIMITS, spill_dir=str(tmp_path))) as host:
        frames = [picture(CT, seed) for seed in range(20)]
        work = native_work(frames, CT, uids.ENCAPSULATED_UNCOMPRESSED)
        result = only(host.run([work]))
    assert all(isinstance(stream, memoryview) for stream in result.streams)
    assert all((one == frame).all() for one, frame in zip(decoded(result, work.job), frames, strict=True))
    assert list(tmp_path.iterdir()) == []
    small = only(shared.run([good()]))
    assert all(isinstance(stream, bytes) for stream in small.streams)


def test_how_many_frames_are_done_is_told() -> None:
    """Lost: who waits for one large instance could not tell whether anything is going on, or for how long."""
    told: list[tuple[int, int]] = []
    with Host(LIMITS) as host:
        host.watch(lambda done, count: told.append((done, count)))
        frames = [picture(CT, seed) for seed in range(2 * WINDOW // CT.size)]
        only(host.run([native_work(frames, CT, uids.RLE)]))
        assert told == [(done, len(frames)) for done in (0, len(frames) // 2, len(frames))]
        told.clear()
        film = only(host.run([native_work(scenes(4), SCENE, AVC)]))
        assert told == [(done, 4) for done in (0, 0, 1, 2, 3, 4)]
        told.clear()
        job = Job(source=AVC, layout=film.changes.apply(SCENE), count=4)
        only(host.run([Work(job=job, frames=film.streams)]))
    assert told == [(done, 4) for done in range(5)]


def test_no_room_for_results_is_no_fault_of_the_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a full disk would quarantine instances."""
    monkeypatch.setattr(pile, "_KEPT", CT.size)
    work = native_work([picture(CT)] * 3, CT, uids.ENCAPSULATED_UNCOMPRESSED)
    with Host(replace(LIMITS, spill_dir=str(tmp_path / "away"))) as host, pytest.raises(Unavailable) as away:
        host.run([work])
    assert away.value.reason is Reason.STORAGE_ERROR


def test_memory_stays_flat_with_two_hundred_large_frames() -> None:
    """Lost: a large multi-frame instance would take a worker's memory many times over."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.integration.host_memory"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    told = json.loads(ran.stdout)
    base, peaks = told["base"], told["peaks"]
    grown = peaks["ours"] - base["ours"] + peaks["theirs"] - base["theirs"] + peaks["shared"]
    frame = 4 << 20
    assert grown < 4 * frame + (150 << 20), told  # measured: 110 MB to 130 MB; all frames are 840 MB


def test_windows_of_small_frames_are_bounded_by_number() -> None:
    """Lost: a message on millions of frames of one pixel would take more memory than they do."""
    layout = layout_of(8, (1, 1), "MONOCHROME2")
    with Host(HostLimits()) as host:
        frames = [np.full((1, 1), number % 256, "u1") for number in range(2000)]
        work = native_work(frames, layout, uids.ENCAPSULATED_UNCOMPRESSED)
        streams = only(host.run([work])).streams
    assert [stream[0] for stream in streams] == [number % 256 for number in range(2000)]


SAID = st.one_of(
    st.binary(max_size=80),
    answers().map(framed),
    st.lists(answers(), max_size=2).map(framed),
    st.sampled_from([framed("ask"), framed("end")]),
)
SPOKEN = native_job(CT, uids.RLE)
FILMED = native_job(SCENE, AVC)
FILM = ANSWER | {"changes": {}}


@settings(max_examples=60, deadline=None)
@given(said=st.lists(SAID, max_size=3).map(b"".join), job=st.sampled_from([SPOKEN, FILMED]))
@example(said=framed(FILM) + framed("end"), job=FILMED)
def test_whatever_a_host_says_is_a_result_of_its_own_memory_or_an_error(lying: Host, said: bytes, job: Job) -> None:
    """Lost: a host that hostile pixels have taken over could hand other memory than its own to the data lake."""
    try:
        [found] = lying.run([Work(job=job, frames=[said])])
    except (Unavailable, HostFault):
        return
    if isinstance(found, Result):
        assert all(bytes(stream) in lying_host.MADE for stream in found.streams)
        assert found.changes.apply(job.layout)


@pytest.mark.parametrize(
    "said",
    [
        framed("end"),
        framed(FILM) + framed(FILM) + framed("end"),
        framed("ask") + framed("ask"),
        framed(FILM | {"place": [0, 4097]}) + framed("end"),
        framed(FILM),
    ],
)
def test_a_host_that_films_something_else_is_not_believed(lying: Host, said: bytes) -> None:
    """Lost: an instance could be given no video, two, or one that ends before it does."""
    good = Work(job=FILMED, frames=[framed(FILM) + framed("end")])
    assert bytes(only(lying.run([good])).streams[0]) == lying_host.MADE[:32]
    assert reason(lying.run([Work(job=FILMED, frames=[said])])[0]) is Reason.CODEC_CRASHED


@pytest.mark.parametrize("place", [(-1, 32), (4096 - 31, 32), (1 << 70, 32), (0, 1 << 70), (0, -1), (0, 0), (1.0, 32)])
def test_bytes_outside_the_memory_are_not_read(lying: Host, place: tuple[float, int]) -> None:
    """Lost: a length or a place that is not so would allocate without bound, or reach what is not the host's."""
    there = Work(job=native_job(CT, uids.RLE), frames=[framed([ANSWER | {"place": [5, 40]}])])
    assert bytes(only(lying.run([there])).streams[0]) == lying_host.MADE[5:45]
    nowhere = Work(job=native_job(CT, uids.RLE), frames=[framed([ANSWER | {"place": place}])])
    assert reason(lying.run([nowhere])[0]) is Reason.CODEC_CRASHED
