"""The transcoder that works in this process, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from farm.codecs import registry
from farm.transcoding.frames import Inline
from farm.transcoding.steps import same
from tests.suites.transcoder_suite import TranscoderSuite


class TestInline(TranscoderSuite):
    """What other tests use keeps what the codec host promises."""

    @pytest.fixture
    def transcoder(self) -> Inline:
        """Give one with the codecs that ship."""
        return Inline(registry.decoder, registry.encoder)


def test_frames_by_plane_and_by_pixel_are_compared_sample_by_sample() -> None:
    """Lost: the proof would pass over a plane, or call equal frames different."""
    by_pixel = np.arange(5 * 7 * 3, dtype="u1").reshape(5, 7, 3)
    by_plane = np.ascontiguousarray(by_pixel.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert same(by_pixel, by_plane)
    for plane in range(3):
        changed = by_plane.copy(order="K")
        changed[4, 6, plane] ^= 1
        assert not changed.flags.c_contiguous
        assert not same(by_pixel, changed)
        assert not same(changed, by_pixel)
