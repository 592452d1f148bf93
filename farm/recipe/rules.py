"""What a recipe may say of attributes, beyond what a schema can: its policy, checked against the standard.

A rule for a single attribute must not leave more than the profile and the chosen options do, unless the recipe says
`allow_weaken`. A rule that could not act is refused as well, for whoever wrote it believes that it does: the keep-list
spares what table E.1-1 does not list, and private attributes are told apart by their creators, not by numbers.
"""

from __future__ import annotations

from typing import Any

from farm.deid import resolve
from farm.deid.policy import Action, Decision, Policy
from farm.dicom.dictionary import vr_of
from farm.recipe import tags
from farm.recipe.refusals import refusal

_ANYWHERE = resolve.types("")
_UID = "it follows `uids` and the option retain-uids"
_MARKER = "the farm writes it"
_PIXELS = "it follows `pixels`"
FIXED = {
    0x00080016: "it stays as it is",
    0x00080018: _UID,
    0x0020000D: _UID,
    0x0020000E: _UID,
    0x00100010: "it follows `subject`",
    0x00100020: "it follows `subject`",
    0x00120062: _MARKER,
    0x00120063: _MARKER,
    0x00120064: _MARKER,
    0x00280303: _MARKER,
    0x7FE00008: _PIXELS,
    0x7FE00009: _PIXELS,
    0x7FE00010: _PIXELS,
}
"""What a rule for a single attribute cannot change, and why."""


def policy(given: dict[str, Any]) -> Policy:
    """Return the policy of a merged recipe; raise `BadRecipe` with the dotted path of a rule that cannot be."""
    made = Policy(
        options=frozenset(given["options"]),
        unlisted_removed=given["unlisted"] == "remove",
        keep=frozenset(_tag(text) for text in given["keep"]),
        own=tuple(sorted((_tag(text), Action(letter)) for text, letter in given["attributes"].items())),
        private_classes=given["private_sop_classes"] == "allow",
        allow_weaken=given["allow_weaken"],
    )
    for tag in sorted(made.keep):
        _check_kept(tag)
    for tag, action in made.own:
        _check_own(made, tag, action)
    return made


def to_dict(made: Policy) -> dict[str, object]:
    """Return the settled policy as a recipe's `policy`."""
    return {
        "profile": "basic",
        "options": sorted(made.options),
        "unlisted": "remove" if made.unlisted_removed else "keep",
        "keep": [tags.written(tag) for tag in sorted(made.keep)],
        "attributes": {tags.written(tag): action.value for tag, action in made.own},
        "private_sop_classes": "allow" if made.private_classes else "refuse",
        "allow_weaken": made.allow_weaken,
    }


def mandatory(made: Policy, tag: int) -> Decision:
    """Return what happens to an attribute by the profile and the options, in an IOD that is not known."""
    return made.settled(tag, vr_of(tag), (), _ANYWHERE)


def _tag(text: str) -> int:
    return tags.read(text, "policy")


def _check_kept(tag: int) -> None:
    found = mandatory(Policy(unlisted_removed=True, keep=frozenset({tag})), tag)
    if found.layer not in {"keep-list", "unlisted"} or found.action is not Action.KEEP:
        hint = f"the keep-list is for attributes without a row in E.1-1; here holds {found.rule}"
        raise refusal(f"policy.keep: {tags.named(tag)}", hint)


def _check_own(made: Policy, tag: int, action: Action) -> None:
    place = f"policy.attributes.{tags.named(tag)}"
    if tag >> 16 & 1:
        raise refusal(place, "private attributes are told apart by creator: see the option retain-safe-private")
    if action is Action.UID and vr_of(tag) not in {"UI", "UN"}:
        raise refusal(place, f"U is for UIDs; this one is {vr_of(tag)}")
    wanted = mandatory(made, tag)
    if made.weakens(action, wanted.action) and not made.allow_weaken:
        spared = "; policy.keep spares it" if wanted.layer == "unlisted" and action is Action.KEEP else ""
        hint = f"{action.value} leaves more than {wanted.action.value} ({wanted.layer}: {wanted.rule}){spared}"
        raise refusal(place, f"{hint}; only policy.allow_weaken lets it")
    if tag in FIXED:
        raise refusal(place, f"a rule would not change it: {FIXED[tag]}")
