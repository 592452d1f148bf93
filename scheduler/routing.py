"""Which queue an instance takes: `gpu` for what a device does much faster, `large` for what is large, else `cpu`.

What a device is for is JPEG 2000: it costs a processor core ten to twenty times what HTJ2K and native frames cost, so
only instances that are read from it or written in it go there, and those not to be transcoded never do. HTJ2K a core
does at hundreds of megabytes a second, which is more than one worker could bring to a device.

The route is given by what an instance is and what its run asks for. Whether a worker with a device lives is asked when
it is sent out: `gpu` is a wish, and whoever has it may be sent to `cpu` at any time. It costs time and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.codecs.nvbatch import HT, J2K, NATIVE

if TYPE_CHECKING:
    from farm.settings import Settings

CPU, GPU, LARGE = "cpu", "gpu", "large"
OPTIONAL: Final = (GPU,)
"""The routes that need not have a worker; what has one of them goes to `cpu` where it has none."""
AUTO: Final = "auto"
"""The setting `gpu` that wants a worker for each device there is."""
_DOES: Final = frozenset({*J2K, *HT, *NATIVE})


def route(*, source: str, target: str, size: int, large_bytes: int, gpu: bool) -> str:
    """Return the route of an instance of so many bytes, from one transfer syntax to another (empty: it stays).

    Instances of more than `large_bytes` are large; `gpu`: there is, or may yet be, a worker with a device.
    """
    if gpu and _is_for_a_device(source, target):
        return GPU
    return LARGE if size > large_bytes else CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """What routes the instances of a run: the transfer syntax that they are to have, and what there is."""

    target: str = ""
    large_bytes: int = 64 << 20
    gpu: bool = True

    @classmethod
    def of(cls, settings: Settings, target: str) -> Router:
        """Return what routes instances that are to have a transfer syntax."""
        return cls(target=target, large_bytes=settings.read_limit_bytes, gpu=settings.gpu == AUTO)

    def route(self, source: str, size: int) -> str:
        """Return the route of an instance."""
        return route(source=source, target=self.target, size=size, large_bytes=self.large_bytes, gpu=self.gpu)


def _is_for_a_device(source: str, target: str) -> bool:
    sides = {source, target}
    return bool(target) and source != target and not sides.isdisjoint(J2K) and sides <= _DOES
