"""A codec host that is to use a device: with none, and with one that is none."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fake_device import FakeLibrary

from farm.codecs import registry, uids
from farm.codecs.nvjpeg2000 import Device
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Options
from farm.frames.work import Job, Result, WhyNot, Work
from farm.host.bench import CpuBench, HostFault, Unit
from farm.host.device import DeviceBench
from farm.host.device_host import DeviceHost
from farm.host.host import Host
from farm.host.process import HostLimits
from farm.host.results import Gathered
from farm.transcoding.frames import Worked, worked
from tests.suites.codec_suite import layout_of, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

LAYOUT = layout_of(12, (64, 80), "MONOCHROME2")


def units(count: int, source: str = uids.J2K_LOSSLESS, target: str | None = uids.HTJ2K_RPCL) -> list[Unit]:
    """Return frames to be brought from one transfer syntax into another."""
    made = []
    for seed in range(count):
        encoded = registry.encoder(source).encode(picture(LAYOUT, seed), LAYOUT, Options(syntax=source))
        options = None if target is None else Options(syntax=target)
        job = Job(source=source, layout=encoded.changes.apply(LAYOUT), options=options)
        made.append(Unit(frame=encoded.data, job=job))
    return made


def bench(library: FakeLibrary) -> DeviceBench:
    """Return a bench with a device that is none."""
    other = CpuBench(1, registry.decoder, registry.encoder, handed_back=True)
    return DeviceBench(Device(0, library=library), other)


def test_what_a_device_does_is_said_to_be_its_work() -> None:
    """Lost: a manifest would name a library that never saw the pixels."""
    given = units(3)
    done = sorted(bench(FakeLibrary()).work(given), key=lambda one: one.at)
    assert [one.at for one in done] == [0, 1, 2]
    assert {(one.codec, one.handed_back) for one in done} == {("nvJPEG2000 0 on a device of numpy", False)}
    assert all(isinstance(one.outcome, Worked) for one in done)


def test_a_digest_is_that_of_the_processor() -> None:
    """Lost: what proves that two instances have the same pixels would depend on where it was made."""
    [unit] = units(1, target=None)
    [done] = bench(FakeLibrary()).work([unit])
    assert done.outcome == worked(unit.frame, unit.job, registry.decoder, registry.encoder)
    assert not done.handed_back


def test_what_is_handed_back_is_done_and_said_so() -> None:
    """Lost: a frame that the device refuses would be lost, or pass for its work."""
    given = [*units(3), *units(2, uids.RLE)]
    library = FakeLibrary(refuses=lambda one: isinstance(one, bytes) and one == given[1].frame)
    done = {one.at: one for one in bench(library).work(given)}
    assert [done[at].handed_back for at in range(5)] == [False, True, False, True, True]
    assert done[1].codec.startswith("OpenJPEG")
    assert all(isinstance(one.outcome, Worked) for one in done.values())


def test_why_the_processor_did_it_is_said() -> None:
    """Lost: nobody would see that a device reads frames otherwise, nor why it has so little to do."""
    styled, differing = units(1, target=None), units(1, target=None)
    start = styled[0].frame.index(b"\xff\x52") + 12
    bypass = bytes(styled[0].frame[:start]) + b"\1" + bytes(styled[0].frame[start + 1 :])
    [done] = bench(FakeLibrary()).work([replace(styled[0], frame=bypass)])
    assert done.why_not is WhyNot.STYLE
    spoiling = FakeLibrary(spoils=lambda one: one ^ 1 if one.shape == (64, 80) else one)
    [done] = bench(spoiling).work(differing)
    assert (done.handed_back, done.why_not) == (True, WhyNot.DIFFERS)
    assert done.outcome == worked(differing[0].frame, differing[0].job, registry.decoder, registry.encoder)
    into = Gathered(None)
    assert isinstance(done.outcome, Worked)
    into.add(done, done.outcome)
    result = into.result()
    assert isinstance(result, Result)
    assert result.why_not is WhyNot.DIFFERS


def test_a_broken_frame_is_told_in_the_words_of_the_processors_codecs() -> None:
    """Lost: an instance would be quarantined with another reason by which queue it took."""
    [unit] = units(1)
    [done] = bench(FakeLibrary()).work([Unit(frame=unit.frame[:-60], job=unit.job)])
    assert isinstance(done.outcome, BadInput)
    assert done.outcome.reason is Reason.PIXELS_UNDECODABLE


def test_a_fault_of_ours_is_a_place_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an exception's text, which may carry a value, would travel, or the other process wait for an answer."""

    def fails(*_: object) -> None:
        raise ValueError("SECRET")

    monkeypatch.setattr(Device, "run", fails)
    given = units(2)
    done = list(bench(FakeLibrary()).work(given))
    assert [one.at for one in done] == [0, 1]
    assert all(isinstance(one.outcome, HostFault) and "SECRET" not in str(one.outcome) for one in done)


def test_without_a_device_the_host_does_all_of_it_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Lost: a driver that went with the last update would stop the queue of its device, or fill the log."""

    def run(host: DeviceHost) -> list[Result | BadInput]:
        return host.run([Work(job=unit.job, frames=[unit.frame]) for unit in units(2)])

    with caplog.at_level(logging.WARNING), DeviceHost(HostLimits(), device=999) as host:
        results: Sequence[Result | BadInput] = run(host) + run(host)
    assert all(isinstance(one, Result) and one.handed_back for one in results)
    assert [record.getMessage() for record in caplog.records] == [
        "the device handed 2 of 2 instances back: the processor did them"
    ]


def test_a_device_that_differs_is_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: who runs the farm would not learn that the device, or its library, does not read what it says."""
    differs = Result(streams=[b""], changes=Changes(), codec="", handed_back=True, why_not=WhyNot.DIFFERS)
    monkeypatch.setattr(Host, "run", lambda *_: [differs])
    with caplog.at_level(logging.WARNING), DeviceHost(HostLimits(), device=999) as host:
        assert [*host.run([]), *host.run([])] == [differs, differs]
    said = [record.getMessage() for record in caplog.records if "otherwise" in record.getMessage()]
    assert said == ["the device read a frame otherwise than the processor: it reads none that is coded so"]
