"""Who may open an association."""

from __future__ import annotations

from hashlib import sha256
from itertools import product

import pytest

from farm.errors import BadRecipe, Reason
from farm.net.admission import Rule, admitted, fingerprint, share_of

_PRINT = sha256(b"certificate").hexdigest()
_OTHER = sha256(b"another").hexdigest()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("CT1", Rule(title="CT1")),
        ("CT 1 ", Rule(title="CT 1")),
        ("CT1@10.0.0.7", Rule(title="CT1", network="10.0.0.7")),
        ("@10.0.0.0/24", Rule(network="10.0.0.0/24")),
        ("@10.0.0.7/24", Rule(network="10.0.0.7/24")),
        ("@fd00::/8", Rule(network="fd00::/8")),
        (f"#{_PRINT}", Rule(certificate=_PRINT)),
        (f"CT1@10.0.0.7#{_PRINT.upper()}", Rule(title="CT1", network="10.0.0.7", certificate=_PRINT)),
        ("CT1#" + ":".join(_PRINT[at : at + 2] for at in range(0, 64, 2)), Rule(title="CT1", certificate=_PRINT)),
        ("SIXTEENLETTERSAB", Rule(title="SIXTEENLETTERSAB")),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    """A rule that is read as another lets in others."""
    assert Rule.parse(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "#",
        " ",
        "CT1@",
        "CT1#",
        "SEVENTEENLETTERSX",
        "CT1@host.example",
        "@10.0.0.0/33",
        "@10.0.0.300",
        "@fd00::/129",
        "CT1#abc",
        "CT1#" + "g" * 64,
        f"CT1#{_PRINT}00",
        f"CT1@#{_PRINT}",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    """A rule with a slip in it would let in everybody, or nobody."""
    with pytest.raises(BadRecipe) as caught:
        Rule.parse(text)
    assert caught.value.reason is Reason.BAD_OPTION


@pytest.mark.parametrize(("title", "address", "certificate"), list(product([False, True], repeat=3)))
def test_a_peer_has_to_meet_all_that_a_rule_says(title: bool, address: bool, certificate: bool) -> None:  # noqa: FBT001
    """A title, which anybody can call itself by, would do in the place of a certificate."""
    rule = Rule(
        title="CT1" if title else "",
        network="10.0.0.0/24" if address else "",
        certificate=_PRINT if certificate else "",
    )
    for named, near, known in product([False, True], repeat=3):
        peer = ("CT1" if named else "ct1", "10.0.0.9" if near else "10.0.1.9", _PRINT if known else _OTHER)
        assert rule.admits(*peer) == ((named or not title) and (near or not address) and (known or not certificate))
    assert rule.admits("CT1", "10.0.0.9", "") == (not certificate)


def test_any_rule_lets_in_and_none_means_everybody() -> None:
    """A second rule would shut out the peers of the first."""
    rules = (Rule.parse("CT1"), Rule.parse("@10.0.0.0/24"))
    assert admitted((), "ANY", "1.2.3.4", "")
    assert admitted(rules, "CT1", "1.2.3.4", "")
    assert admitted(rules, "ANY", "10.0.0.4", "")
    assert not admitted(rules, "ANY", "1.2.3.4", "")


@pytest.mark.parametrize(
    ("network", "address", "is_in"),
    [
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("10.0.0.0/24", "::ffff:10.0.0.9", True),
        ("10.0.0.0/24", "fd00::1", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::/8", "10.0.0.7", False),
        ("fe80::/10", "fe80::1%2", True),
    ],
)
def test_an_address_is_of_a_network(network: str, address: str, is_in: bool) -> None:  # noqa: FBT001
    """A peer would be taken for one of another network, or be refused on a socket of IPv6."""
    assert Rule(network=network).admits("CT1", address, "") == is_in


@pytest.mark.parametrize(
    ("one", "other", "is_one"),
    [
        ("10.0.0.7", "::ffff:10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("2001:db8::1", "2001:db8::2:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%2", "fe80::2%2", False),
        ("", "", True),
    ],
)
def test_places_are_shared_out_by_host(one: str, other: str, is_one: bool) -> None:  # noqa: FBT001
    """A host of IPv6 has more addresses than there are places; and two of one link would share one peer's."""
    assert (share_of(one) == share_of(other)) == is_one


def test_a_fingerprint_is_that_of_openssl() -> None:
    """The figure that `openssl x509 -fingerprint -sha256` prints would not fit."""
    assert fingerprint(b"certificate") == _PRINT
    assert fingerprint(b"") == fingerprint(None) == ""
