"""nvImageCodec, nvJPEG2000 and CuPy, as much of them as is used here; nothing else imports them.

All three are optional, and any of them may be there without a driver or a device. So whether they work is found out by
trying, and what stands in the way is said in one line. Samples are CuPy arrays, which share the device's memory with
the codecs in both directions; only bitstreams and native frames cross to the host. GPU_ONLY keeps the library's own
codecs of the processor out: they write other streams (JP2, no HTJ2K), and ours are better.

Facts that the calls rest on (nvImageCodec 0.9): a list's failed items come back as None; unless told, a decoder scales
to 8 bits and an encoder writes a JP2 file; the precision of samples is said beside them; a colour transform needs sRGB
on both sides; the quantisation step counts in units of the samples.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from farm.frames.layout import Samples

LIBRARY = "nvJPEG2000"
_LEAST = (0, 9)
_THREADS = 8
"""Each has scratch memory of its own on the device."""


class Absent(Exception):
    """There is no device to work with; the text says why, in one line and without anything of the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device that nvJPEG2000 opens."""

    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How frames are to be encoded; those of one call are encoded alike.

    `quality` is nothing where it is lossless, decibels in JPEG 2000 and a quantisation step in HTJ2K. `colours`: red,
    green and blue are transformed.
    """

    high_throughput: bool
    lossless: bool
    quality: float
    colours: bool
    resolutions: int
    bits: int


class Library(Protocol):
    """What a device is asked for. An array is the library's own, with a shape, a type and parts, as numpy's has."""

    name: str
    version: str
    memory_bytes: int

    def decode(self, streams: Sequence[bytes]) -> list[Any | None]:
        """Return the samples of code streams as arrays on the device; None where it cannot."""

    def encode(self, arrays: Sequence[Any], coding: Coding) -> list[bytes | None]:
        """Return code streams; None where it cannot."""

    def upload(self, samples: Samples) -> Any:  # noqa: ANN401 - the library's own array
        """Bring samples to the device."""

    def download(self, array: Any) -> Samples:  # noqa: ANN401 - likewise
        """Bring samples back."""

    def works(self) -> bool:
        """Tell whether the device still answers: some errors of CUDA are for good (CUDA runtime API, error 700)."""

    def free(self) -> None:
        """Let go of memory that is held for later."""


class NvLibrary:
    """The real one, on one device."""

    def __init__(self, index: int) -> None:
        """Open a device; raise `Absent` where that cannot be."""
        self._cupy, self._codecs = _modules()
        try:
            self._device = self._cupy.cuda.Device(index)
            with self._device:
                backends = [self._codecs.Backend(self._codecs.BackendKind.GPU_ONLY)]
                common = {"device_id": index, "max_num_cpu_threads": _THREADS, "backends": backends}
                self._decoder, self._encoder = self._codecs.Decoder(**common), self._codecs.Encoder(**common)
                facts = self._cupy.cuda.runtime.getDeviceProperties(index)
                self._cupy.arange(4).sum()  # needs a compiler, which is a package of its own
        except Exception as error:  # noqa: BLE001 - the libraries' own classes, and whatever a driver does
            raise Absent(f"the device does not open: {_named(error)}") from None
        self.name, self.memory_bytes = facts["name"].decode("ascii", "replace"), int(facts["totalGlobalMem"])
        self.version = _version()
        self._reading = self._codecs.DecodeParams(
            allow_any_depth=True, color_spec=self._codecs.ColorSpec.UNCHANGED, apply_exif_orientation=False
        )

    def decode(self, streams: Sequence[bytes]) -> list[Any | None]:
        """Return the samples of code streams as arrays on the device; None where it cannot."""
        with self._device:
            images = self._decoder.decode([self._codecs.CodeStream(one) for one in streams], params=self._reading)
            if len(images) != len(streams):
                return [None] * len(streams)
            return [None if image is None else self._array(image) for image in images]

    def encode(self, arrays: Sequence[Any], coding: Coding) -> list[bytes | None]:
        """Return code streams; None where it cannot."""
        with self._device:
            frames = [array.reshape(*array.shape[:2], -1) for array in arrays]
            images = self._codecs.as_images(frames, precision=coding.bits)
            streams = self._encoder.encode(images, "jpeg2k", params=self._writing(coding))
            if len(streams) != len(arrays):
                return [None] * len(arrays)
            return [None if one is None else bytes(one) for one in streams]

    def upload(self, samples: Samples) -> Any:  # noqa: ANN401 - CuPy's array
        """Bring samples to the device."""
        with self._device:
            return self._cupy.asarray(np.ascontiguousarray(samples))

    def download(self, array: Any) -> Samples:  # noqa: ANN401 - likewise
        """Bring samples back."""
        with self._device:
            samples: Samples = self._cupy.asnumpy(array)
            return samples

    def works(self) -> bool:
        """Tell whether the device still answers."""
        try:
            with self._device:
                self._cupy.cuda.runtime.deviceSynchronize()
                return int(self._cupy.arange(4).sum()) == 6
        except Exception:  # noqa: BLE001 - whatever it is, the device is of no more use
            return False

    def free(self) -> None:
        """Let go of memory that is held for later."""
        self._cupy.get_default_memory_pool().free_all_blocks()

    def _array(self, image: Any) -> Any:  # noqa: ANN401 - likewise
        array = self._cupy.asarray(image)
        return array.reshape(array.shape[:2]) if array.ndim == 3 and array.shape[2] == 1 else array

    def _writing(self, coding: Coding) -> Any:  # noqa: ANN401 - the library's parameters
        codecs = self._codecs
        step = codecs.QualityType.QUANTIZATION_STEP if coding.high_throughput else codecs.QualityType.PSNR
        return codecs.EncodeParams(
            quality_type=codecs.QualityType.LOSSLESS if coding.lossless else step,
            quality_value=coding.quality,
            color_spec=codecs.ColorSpec.SRGB if coding.colours else codecs.ColorSpec.UNCHANGED,
            jpeg2k_encode_params=codecs.Jpeg2kEncodeParams(
                code_block_size=(64, 64),
                num_resolutions=coding.resolutions,
                bitstream_type=codecs.Jpeg2kBitstreamType.J2K,
                prog_order=codecs.Jpeg2kProgOrder.RPCL,
                mct_mode=int(coding.colours),
                ht=coding.high_throughput,
            ),
        )


def devices() -> list[Found]:
    """Return the devices that open; raise `Absent` where there are none. It makes a CUDA context: not before a fork."""
    cupy, _ = _modules()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # noqa: BLE001 - CUDA's own classes; without a driver even those may not load
        raise Absent(f"CUDA finds no device: {_named(error)}") from None
    found, why = [], "CUDA finds no device"
    for index in range(count):
        try:
            library = NvLibrary(index)
        except Absent as absent:
            why = str(absent)
            continue
        found.append(Found(index=index, name=library.name, memory_bytes=library.memory_bytes))
    if not found:
        raise Absent(why)
    return found


def _modules() -> tuple[Any, Any]:
    """Return CuPy and nvImageCodec; raise `Absent` where one is not installed, does not load or is too old."""
    modules = []
    for module, package in (("cupy", "CuPy"), ("nvidia.nvimgcodec", "nvImageCodec")):
        try:
            modules.append(importlib.import_module(module))
        except ImportError:
            raise Absent(f"{package} is not installed: pip install 'dicom-farm[gpu]'") from None
        except Exception as error:  # noqa: BLE001 - a library may do anything while it loads
            raise Absent(f"{package} does not load: {_named(error)}") from None
    cupy, codecs = modules
    version = str(codecs.__version__)
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST:
        raise Absent(f"nvImageCodec {version} is too old: 0.9 is needed")
    return cupy, codecs


def _named(error: Exception) -> str:
    """Return an error's class, and its code where it has one: CUDA's texts name places of its makers' machines."""
    code = str(error).partition(":")[0]
    return code if code.startswith("cuda") and code.isalnum() else type(error).__name__


def _version() -> str:
    """Return the version of nvJPEG2000, whose wheels are named by that of CUDA."""
    for cuda in ("12", "13"):
        try:
            return metadata.version(f"nvidia-nvjpeg2k-cu{cuda}")
        except metadata.PackageNotFoundError:
            continue
    return "of the system"
