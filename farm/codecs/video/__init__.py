"""Video: one bitstream for all frames of an instance (PS3.5 8.2.5 to 8.2.11)."""

from farm.codecs.video.families import FAMILIES, is_video, why_not
from farm.codecs.video.syntaxes import SYNTAXES

__all__ = ["FAMILIES", "SYNTAXES", "is_video", "why_not"]
