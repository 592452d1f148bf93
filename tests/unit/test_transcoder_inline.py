"""The transcoder that works in this process, frame by frame."""

from __future__ import annotations

import pytest

from farm.codecs import registry
from farm.transcoding.frames import Inline
from tests.suites.transcoder_suite import TranscoderSuite


class TestInline(TranscoderSuite):
    """What other tests use keeps what the codec host promises."""

    @pytest.fixture
    def transcoder(self) -> Inline:
        """Give one with the codecs that ship."""
        return Inline(registry.decoder, registry.encoder)
