"""DICOM peers to interoperate with: Orthanc, DCMTK's dcmqrscp and storescp, each on a free port and in its own folder.

A peer is ready once it takes a connection, and is looked at every few milliseconds until then. What a test has started
is gone when the test is at its end. Peers run as they are shipped, so with Nagle's algorithm on, unless a test says
otherwise.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from farm.net.peers import Peer, Timeouts
from farm.net.tls import Identification

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

_PATIENCE = 30.0
"""Seconds until a peer has to answer."""
_LOOK = 0.01
ORTHANC = "/usr/sbin/Orthanc"


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need(program: str) -> str:
    """Return the path of a program; skip the test where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{Path(program).name} is not installed")
    return found


@dataclass(frozen=True, kw_only=True)
class Running:
    """A peer that has been started."""

    process: subprocess.Popen[bytes]
    port: int
    title: str
    folder: Path
    """Where it keeps what it was sent."""

    def peer(
        self, *, calling: str = "FARM", tls: ssl.SSLContext | None = None, timeouts: Timeouts | None = None
    ) -> Peer:
        """Return how a client speaks to it."""
        waits = timeouts or Timeouts(response=30)
        return Peer(
            host="127.0.0.1",
            port=self.port,
            ae_title=self.title,
            calling_ae_title=calling,
            tls=tls,
            timeouts=waits,
        )

    def kill(self) -> None:
        """End it, and all that it has started, at once."""
        _end(self.process, signal.SIGKILL)


class Peers:
    """Starts peers in folders below one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[Running] = []

    def orthanc(self, *, destinations: Mapping[str, int] | None = None, **settings: object) -> Running:
        """Start an Orthanc that knows FARM, and other application entities by their ports."""
        program = need(ORTHANC)
        folder, port = self._place("orthanc"), free_port()
        known = {"farm": {"AET": "FARM", "Host": "127.0.0.1", "Port": free_port()}}
        known |= {
            title.lower(): {"AET": title, "Host": "127.0.0.1", "Port": number}
            for title, number in (destinations or {}).items()
        }
        for modality in known.values():
            modality |= {"AllowGet": True, "AllowMove": True, "AllowFind": True, "AllowStore": True}
        config: dict[str, object] = {
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "Plugins": [],
            "HttpServerEnabled": False,
            "DicomServerEnabled": True,
            "DicomAet": "ORTHANC",
            "DicomPort": port,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": False,
            "DicomModalities": known,
            "DicomAlwaysAllowStore": True,
            "SynchronousCMove": True,
            "OverwriteInstances": True,
            "UnknownSopClassAccepted": True,
        }
        written = folder / "orthanc.json"
        written.write_text(json.dumps(config | settings))
        return self._start([program, str(written)], port, "ORTHANC", folder)

    def dcmqrscp(
        self, *options: str, destinations: Mapping[str, int] | None = None, environment: Mapping[str, str] | None = None
    ) -> Running:
        """Start DCMTK's archive; destinations of C-MOVE by their ports."""
        program = need("dcmqrscp")
        folder, port = self._place("dcmqrscp"), free_port()
        stored = folder / "stored"
        stored.mkdir()
        hosts = [f"{title.lower()} = ({title}, 127.0.0.1, {number})" for title, number in (destinations or {}).items()]
        written = folder / "dcmqrscp.cfg"
        lines = [
            f"NetworkTCPPort  = {port}",
            "MaxPDUSize      = 16384",
            "MaxAssociations = 16",
            *("HostTable BEGIN", *hosts, "HostTable END"),
            *("VendorTable BEGIN", "VendorTable END"),
            *("AETable BEGIN", f"DCMQR  {stored}  RW  (200, 1024mb)  ANY", "AETable END"),
        ]
        written.write_text("\n".join(lines) + "\n")
        command = [program, "-c", str(written), *options, str(port)]
        return self._start(command, port, "DCMQR", stored, environment)

    def storescp(self, *options: str, title: str = "STORESCP") -> Running:
        """Start DCMTK's storage SCP; it keeps data sets as they come, in every transfer syntax."""
        program = need("storescp")
        folder, port = self._place("storescp"), free_port()
        command = [program, "+xa", "+B", "-od", str(folder), "-aet", title, *options, str(port)]
        return self._start(command, port, title, folder)

    def close(self) -> None:
        """End all of them."""
        for running in self._started:
            _end(running.process, signal.SIGTERM)

    def _place(self, name: str) -> Path:
        folder = self._folder / f"{name}{len(self._started)}"
        folder.mkdir()
        return folder

    def _start(
        self,
        command: list[str],
        port: int,
        title: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        (folder / "log").rename(folder.with_suffix(".log"))
        running = Running(process=process, port=port, title=title, folder=folder)
        self._started.append(running)
        self._await(running)
        return running

    def _await(self, running: Running) -> None:
        """Wait until it takes a connection; fail where it ends instead."""
        for _ in range(int(_PATIENCE / _LOOK)):
            try:
                socket.create_connection(("127.0.0.1", running.port), timeout=_PATIENCE).close()
            except ConnectionRefusedError:
                try:
                    running.process.wait(_LOOK)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"{running.title} ended with {running.process.returncode}")
            else:
                return
        pytest.fail(f"{running.title} does not answer")


def _end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End a peer and the processes that it has started for its associations."""
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    """Return what starts peers."""
    starter = Peers(tmp_path)
    yield starter
    starter.close()


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """An authority, and what it has signed."""

    authority: Path
    server: Identification
    client: Identification
    stranger: Identification
    """Signed by itself alone."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return certificates of an authority that is made for the session."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority", key, "authority", key)
    path = folder / "authority.pem"
    path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    return Certificates(
        authority=path,
        server=_identification(folder, "server", key),
        client=_identification(folder, "client", key),
        stranger=_identification(folder, "stranger", None),
    )


def _identification(folder: Path, name: str, signer: ec.EllipticCurvePrivateKey | None) -> Identification:
    key = ec.generate_private_key(ec.SECP256R1())
    made = _certificate(name, key, "authority" if signer else name, signer or key)
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Identification(certificate=certificate, key=private)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=name == "authority", path_length=None), critical=True)
        .add_extension(local, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
