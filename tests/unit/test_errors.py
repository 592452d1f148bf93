"""Errors: closed list of reasons, and nothing lost between processes."""

from __future__ import annotations

import errno
import pickle
import re

import pytest

from farm.errors import MEANING, BadInput, BadRecipe, FarmError, Reason, Unavailable, place_of, unavailable


def subclasses(kind: type[FarmError]) -> list[type[FarmError]]:
    """Return a class and all that stand below it."""
    return [kind, *(below for child in kind.__subclasses__() for below in subclasses(child))]


@pytest.mark.parametrize("kind", subclasses(FarmError))
def test_every_class_survives_pickling(kind: type[FarmError]) -> None:
    """Lost otherwise: a worker's reason would reach its parent as a crash."""
    error = kind(Reason.PIXEL_LENGTH, "a hint", expected=4, found=2)
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert type(back) is kind
    assert (back.reason, back.hint, back.fields, str(back)) == (error.reason, error.hint, error.fields, str(error))


def test_the_three_kinds_are_told_apart() -> None:
    """Lost otherwise: quarantine, stop and retry would be mixed up."""
    assert {BadInput, BadRecipe, Unavailable} <= set(subclasses(FarmError))
    assert not any(
        issubclass(one, other)
        for one in (BadInput, BadRecipe, Unavailable)
        for other in (BadInput, BadRecipe, Unavailable)
        if one is not other
    )


def test_every_reason_has_a_meaning_of_one_line() -> None:
    """Lost otherwise: the README and the CLI would show a bare code."""
    assert set(MEANING) == set(Reason)
    assert all(text.endswith(".") and "\n" not in text for text in MEANING.values())
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", reason.value) for reason in Reason)
    assert len(set(MEANING.values())) == len(Reason)


def test_the_text_names_code_meaning_and_fields() -> None:
    """Lost otherwise: a log line would not say what happened."""
    assert str(BadInput(Reason.TRUNCATED)) == f"truncated: {MEANING[Reason.TRUNCATED]}"
    assert str(BadInput(Reason.PIXEL_LENGTH, "short", found=2)) == "pixel-length: short (found=2)"


def test_an_unexpected_error_is_told_by_class_and_place_alone() -> None:
    """Lost otherwise: a library's message, with a patient's name in it, would reach the log."""
    try:
        int("SECRET")
    except ValueError as error:
        told = place_of(error)
    assert re.fullmatch(r"ValueError at test_errors:\d+", told)
    assert place_of(KeyError("SECRET")) == "KeyError at unknown"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, Reason.NO_SPACE), (errno.EDQUOT, Reason.NO_SPACE), (errno.EIO, Reason.STORAGE_ERROR)],
)
def test_what_a_storage_said_is_told_without_its_path(code: int, reason: Reason) -> None:
    """Lost otherwise: a full disk would pass for a broken one, a quota for a full disk, or a path would be told."""
    told = unavailable(OSError(code, "no", "/SECRET"))
    assert (told.reason, told.fields) == (reason, {"errno": errno.errorcode[code]})
    assert "SECRET" not in str(told)
    assert unavailable(OSError("SECRET")).fields == {"errno": "unknown"}
