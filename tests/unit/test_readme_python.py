"""The README's example of reading frames in part, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.codecs import jpeg2000, uids
from farm.errors import BadInput, Reason
from tests import images
from tests.suites.codec_suite import layout_of

if TYPE_CHECKING:
    from farm.frames.layout import Samples

_README = Path(__file__).parents[2] / "README.md"
LAYOUT = layout_of(12, (300, 217), "MONOCHROME2")


def _blocks() -> list[str]:
    """Return the two blocks of the example: a region, then a lower resolution."""
    blocks = re.findall(r"^```python\n(.*?)^```$", _README.read_text(), re.DOTALL | re.MULTILINE)
    found = [str(block) for block in blocks if "jpeg2000.CODEC" in block]
    assert len(found) == 2
    return found


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Samples:
    """Write the example's instance; return the samples of its first frame."""
    monkeypatch.chdir(tmp_path)
    frames = images.slope(LAYOUT, 2)
    streams, layout = images.coded("j2k-lossless", LAYOUT, frames)
    Path("slide.dcm").write_bytes(images.encapsulated(uids.J2K_LOSSLESS, layout, streams, count=2))
    return frames[0]


def _run(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - it is our own example
    return names


def test_a_region_is_that_part_of_the_frame(whole: Samples) -> None:
    """Lost: whoever takes patches of a slide for training would take others, or find an example that does not run."""
    names = _run(_blocks()[0])
    assert (names["part"] == whole[100:164, 40:168]).all()


def test_a_lower_resolution_is_the_frame_made_smaller(whole: Samples) -> None:
    """Lost: a preview would be of something else, of another size, or the example would not run."""
    if not jpeg2000.REDUCES:
        pytest.skip("this imagecodecs reads no lower resolution: that needs 2026.10, and Python 3.12")
    names = _run(*_blocks())
    quarter, corner = names["quarter"], names["corner"]
    assert quarter.shape == (75, 55)
    assert (corner == quarter[:16, :16]).all()
    low, high = LAYOUT.bounds
    assert abs(quarter.astype(int) - whole[::4, ::4]).mean() < (high - low) / 50


@pytest.mark.usefixtures("whole")
def test_an_older_library_refuses_a_lower_resolution() -> None:
    """Lost: a frame of full size, or an error of a library, would come where the README names a reason."""
    if jpeg2000.REDUCES:
        pytest.skip("this imagecodecs reads lower resolutions")
    with pytest.raises(BadInput) as refused:
        _run(*_blocks())
    assert refused.value.reason is Reason.CODEC_ABSENT
