"""Who is measured: a visible list, each with how it is made ready and, where it cannot be, why not.

A peer from PyPI lives in a virtual environment of its own under the cache folder, so that its dependencies never meet
the project's. `cp` and pydicom need nothing the project has not, and run in its own interpreter, as the farm does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.bench.figures import Sample

ROOT = Path(__file__).resolve().parents[2]
_PROBE = Path(__file__).with_name("probe.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to copy or de-identify a folder; `target` is how many times faster the farm has to be.

    `name` is also what the probe knows it by; `arguments` are handed to it.
    """

    name: str
    title: str
    target: float | None = None
    requirement: str = ""
    program: str = ""
    package: str = "libgdcm-tools"
    needs_certificate: bool = False
    arguments: tuple[str, ...] = ()


CONTENDERS = (
    Contender(name="cp", title="cp (shutil.copyfile)"),
    Contender(name="farm", title="farm deid, in process"),
    Contender(name="gdcmanon-dumb", title="gdcmanon, ten edits", program="gdcmanon"),
    Contender(name="gdcmanon", title="gdcmanon, profile", target=2.5, program="gdcmanon", needs_certificate=True),
    Contender(name="dcmanon", title="dcmanon (Rust)", target=4, requirement="dcmanon==0.3.1"),
    Contender(name="pydicom", title="pydicom, ten edits", target=6),
    Contender(name="dicom-anonymizer", title="dicom-anonymizer", target=18, requirement="dicom_anonymizer==2.1.0"),
)
BARE = Contender(name="farm-bare", title="basic, without the gate")
GATED = Contender(name="farm", title="research, with the gate", arguments=("research",))
"""What the release gate and the default preset cost over a pass that has neither."""


class Absent(Exception):
    """A contender cannot be measured here."""


class Probe:
    """A contender's running process."""

    def __init__(self, contender: Contender, cache: Path) -> None:
        python = _interpreter(contender, cache)
        arguments = [str(certificate(cache))] if contender.needs_certificate else contender.arguments
        self._process = subprocess.Popen(
            [str(python), "-P", "-W", "ignore", str(_PROBE), contender.name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def measure(self, source: Path, scratch: Path) -> Sample:
        """Let the contender work on `source` into a new folder under `scratch`; raise `Absent` if it cannot."""
        with tempfile.TemporaryDirectory(dir=scratch) as target:
            sample = self.work(source, Path(target))
            written = sum(len(names) for _, _, names in os.walk(target))
        if written < sample.count:
            raise Absent(f"wrote {written} of {sample.count} instances")
        return sample

    def work(self, source: Path, target: Path) -> Sample:
        """Let the contender work on `source` into `target`; raise `Absent` if it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it answered with an error before it was asked
            print(json.dumps({"source": str(source), "target": str(target)}), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline() or '{"error": "ended without an answer"}')
        if "error" in answer:
            raise Absent(answer["error"].splitlines()[0])
        return Sample(cpu=answer["cpu"], wall=answer["wall"], count=answer["count"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _interpreter(contender: Contender, cache: Path) -> Path:
    """Return the Python that runs the contender, its environment made at first use."""
    if contender.program and shutil.which(contender.program) is None:
        raise Absent(f"{contender.program} is not on the path (Debian: {contender.package})")
    if not contender.requirement:
        return Path(sys.executable)
    folder = cache / f"venv-{contender.requirement}-{sys.version_info.major}.{sys.version_info.minor}"
    if not (folder / ".done").exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", contender.requirement]
        done = subprocess.run(install, check=False, capture_output=True, text=True)
        if done.returncode:
            raise Absent(
                f"pip could not install {contender.requirement}: {(done.stderr.split('ERROR: ') or [''])[-1].strip()}"
            )
        (folder / ".done").touch()
    return folder / "bin" / "python"


def certificate(cache: Path) -> Path:
    """Return the certificate that gdcmanon's profile mode seals the originals with, made at first use."""
    path = cache / "certificate.pem"
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        signed = builder.not_valid_before(now).not_valid_after(now + timedelta(days=3650)).sign(key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return path
