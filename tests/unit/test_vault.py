"""The vault: what is sealed opens for its key, table and row, and for nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadRecipe, Reason
from farm.registry.vault import Vault

KEY = b"k" * 32
VAULT = Vault(KEY)


@given(st.text(max_size=10), st.binary(max_size=20), st.binary(max_size=100))
def test_what_is_sealed_opens(table: str, context: bytes, plain: bytes) -> None:
    """The way back would be lost for some values."""
    assert VAULT.open(table, context, VAULT.seal(table, context, plain)) == plain
    assert Vault(KEY).open(table, context, VAULT.seal(table, context, plain)) == plain


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=100)), max_size=10))
def test_sealing_many_is_sealing_each(pairs: list[tuple[bytes, bytes]]) -> None:
    """Values of one batch would be mixed up, or share a nonce, which breaks AES-GCM."""
    sealed = VAULT.seal_many("t", pairs)
    assert [VAULT.open("t", context, one) for (context, _), one in zip(pairs, sealed, strict=True)] == [
        plain for _, plain in pairs
    ]
    assert len({one[:12] for one in sealed}) == len(pairs)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_nothing_else_opens(plain: bytes, data: st.DataObject) -> None:
    """A value that was altered, or moved to another row, would pass for that row's."""
    sealed = bytearray(VAULT.seal("t", b"row", plain))
    at = data.draw(st.integers(0, len(sealed) - 1))
    altered = bytes(sealed[:at]) + bytes([sealed[at] ^ 1]) + bytes(sealed[at + 1 :])
    for vault, table, context, value in (
        (VAULT, "t", b"row", altered),
        (VAULT, "t", b"row", bytes(sealed[:at])),
        (VAULT, "t", b"other", bytes(sealed)),
        (VAULT, "u", b"row", bytes(sealed)),
        (Vault(b"l" * 32), "t", b"row", bytes(sealed)),
    ):
        with pytest.raises(BadRecipe) as caught:
            vault.open(table, context, value)
        assert caught.value.reason is Reason.BAD_KEY


def test_a_key_has_32_bytes() -> None:
    """A cut key file would seal with a weak key."""
    with pytest.raises(BadRecipe):
        Vault(b"short")


def test_the_key_does_not_show() -> None:
    """A traceback with local variables would print the key."""
    assert KEY.decode() not in repr(VAULT)
