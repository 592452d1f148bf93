"""Users by name and passcode: who is known, and the file that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import BadRecipe, Reason
from farm.net.identity import Kind, Users, identity, secret
from farm.net.pdu import Identity

_USERS = """# who may come
ward-3

Dr. Müller:correct horse: battery staple
"""


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """Return two users, one with a passcode."""
    return Users.load(_written(tmp_path, _USERS.encode()))


def _written(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "users"
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("told", "is_known"),
    [
        (identity("ward-3"), True),
        (identity("ward-3", "whatever"), True),
        (identity("Dr. Müller", "correct horse: battery staple"), True),
        (identity("Dr. Müller", "correct horse: battery staplE"), False),
        (identity("Dr. Müller", "correct horse: battery"), False),
        (identity("Dr. Müller"), False),
        (identity("ward-4"), False),
        (identity(""), False),
        (identity("# who may come"), False),
        (Identity(kind=Kind.NAME, primary=b"ward-3\xff"), False),
        *((Identity(kind=kind, primary=b"ward-3"), False) for kind in (0, Kind.KERBEROS, Kind.SAML, Kind.JWT, 9)),
        (None, False),
    ],
)
def test_who_is_known(users: Users, told: Identity | None, is_known: bool) -> None:  # noqa: FBT001 - a column
    """Anybody would be let in, or a user with the right passcode kept out."""
    assert users(told) == (b"" if is_known else None)


def test_an_identity_is_a_name_or_a_name_and_a_passcode() -> None:
    """A peer would look for a passcode where there is none, or pass over the one there is."""
    assert identity("n") == Identity(kind=1, primary=b"n")
    told = identity("n", "p", response_requested=True)
    assert told == Identity(kind=2, primary=b"n", secondary=b"p", response_requested=True)


@pytest.mark.parametrize("data", [b":passcode", b"ok\n : x", b"\xff\xfe"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, data: bytes) -> None:
    """A misread line would let in who is not meant, by the empty name."""
    with pytest.raises(BadRecipe) as caught:
        Users.load(_written(tmp_path, data))
    assert caught.value.reason is Reason.BAD_OPTION


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """What was readable may have been read."""
    with pytest.raises(BadRecipe, match="0600"):
        secret(_written(tmp_path, b"passcode", mode))
    with pytest.raises(BadRecipe):
        secret(tmp_path / "none")


def test_nothing_of_a_user_is_shown(users: Users) -> None:
    """A passcode in a traceback would stand in a log."""
    assert "staple" not in repr(users)
    assert "staple" not in repr(identity("n", "staple"))
