"""Which queue an instance takes, by what it is, what its run asks for and what there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import nvjpeg2000, uids
from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE
from farm.frames.codec import Options
from farm.frames.layout import Layout
from farm.frames.work import Job
from farm.queue import QUEUES
from farm.settings import Settings
from scheduler.routing import CPU, GPU, LARGE, OPTIONAL, Router, route

LAYOUT = Layout(rows=512, columns=512, bits_stored=12, high_bit=11)
SYNTAXES = st.sampled_from([*uids.NAMES, "", "1.2.3"])


@pytest.mark.parametrize(
    ("source", "target", "size", "gpu", "expected"),
    [
        (uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS, 1000, True, GPU),
        (uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS, 1000, False, CPU),
        (uids.J2K, EXPLICIT_LITTLE, 5000, True, GPU),
        (uids.J2K, EXPLICIT_LITTLE, 5000, False, LARGE),
        (EXPLICIT_BIG, uids.J2K_LOSSLESS, 1000, True, GPU),
        (DEFLATED_LITTLE, uids.J2K, 1000, True, GPU),
        (uids.HTJ2K_RPCL, uids.J2K_LOSSLESS, 1000, True, GPU),
        (uids.J2K_LOSSLESS, "", 1000, True, CPU),
        (uids.J2K_LOSSLESS, uids.J2K_LOSSLESS, 1000, True, CPU),
        (uids.J2K_LOSSLESS, uids.JPEG_LS, 1000, True, CPU),
        (uids.RLE, uids.J2K_LOSSLESS, 1000, True, CPU),
        (EXPLICIT_LITTLE, uids.HTJ2K_LOSSLESS, 1000, True, CPU),
        (EXPLICIT_LITTLE, uids.HTJ2K_LOSSLESS, 5000, True, LARGE),
        (EXPLICIT_LITTLE, "", 4000, True, CPU),
        ("", uids.J2K, 4001, True, LARGE),
    ],
)
def test_routes(source: str, target: str, size: int, gpu: bool, expected: str) -> None:  # noqa: FBT001 - a table's column
    """Lost: a device would stand idle beside a processor that decodes JPEG 2000, or be given what it does no faster."""
    assert route(source=source, target=target, size=size, large_bytes=4000, gpu=gpu) == expected


@given(SYNTAXES, SYNTAXES, st.integers(0, 1 << 40))
def test_laws_of_routes(source: str, target: str, size: int) -> None:
    """Law: a route is a queue; without a device it needs none; and what goes to a device is work for one."""
    with_device, without = (
        route(source=source, target=target, size=size, large_bytes=1 << 20, gpu=gpu) for gpu in (True, False)
    )
    assert with_device in QUEUES
    assert without in set(QUEUES) - set(OPTIONAL)
    if with_device == GPU:
        assert nvjpeg2000.serves(Job(source=source, layout=LAYOUT, options=Options(syntax=target)))
    else:
        assert with_device == without


def test_a_farm_without_devices_wishes_for_none(tmp_path: object) -> None:
    """Lost: whoever switched devices off would have them all the same."""
    for word, expected in (("auto", GPU), ("off", CPU), ("no", CPU)):
        router = Router.of(Settings(home=tmp_path, gpu=word), uids.HTJ2K_LOSSLESS)  # type: ignore[arg-type]
        assert router.route(uids.J2K, 1000) == expected
