"""Errors whose class says who is to blame, and so decides an instance's fate.

The farm never acts on the text of an error, only on its class and its reason code:

* `BadInput`: the instance cannot be processed, now or later. It is quarantined with the code.
* `BadRecipe`: the order itself is wrong (recipe, key, destination). The command or the run stops.
* `Unavailable`: something the farm needs is away (disk, database, broker). The attempt is given back and retried.

An error carries a reason code and non-identifying fields (numbers, attribute tags), never an attribute's value and
never a path: its text may reach a log, a broker or a screen. Every class survives pickling, because worker processes
hand errors to their parents.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePath


class Reason(StrEnum):
    """The closed list of reason codes. `MEANING` explains each; the README's table is made from it."""

    # The input is not an instance that the farm processes.
    NOT_DICOM = "not-dicom"
    EMPTY_FILE = "empty-file"
    DICOMDIR = "dicomdir"
    # The data set cannot be read to its end without guessing.
    TRUNCATED = "truncated"
    BAD_STRUCTURE = "bad-structure"
    TOO_DEEP = "too-deep"
    BAD_DEFLATE = "bad-deflate"
    INFLATES_TOO_FAR = "inflates-too-far"
    UNKNOWN_SYNTAX = "unknown-syntax"
    # It can be read, but not de-identified with confidence.
    NO_SOP_CLASS = "no-sop-class"
    NO_UID = "no-uid"
    NO_SUBJECT = "no-subject"
    NOT_IN_CROSSWALK = "not-in-crosswalk"
    NO_DATE_SHIFT = "no-date-shift"
    BAD_UID = "bad-uid"
    PRIVATE_SOP_CLASS = "private-sop-class"
    PIXEL_LENGTH = "pixel-length"
    PIXELS_AT_RISK = "pixels-at-risk"
    PIXELS_UNDECODABLE = "pixels-undecodable"
    PIXELS_TOO_LARGE = "pixels-too-large"
    PIXELS_DIFFER = "pixels-differ"
    CODEC_ABSENT = "codec-absent"
    CODEC_CRASHED = "codec-crashed"
    CODEC_HUNG = "codec-hung"
    CODEC_MEMORY = "codec-memory"
    # The release gate looked at the output and did not let it go.
    GATE_REVIEW = "gate-review"
    GATE_WITHHOLD = "gate-withhold"
    # A peer does not take it.
    NOT_ACCEPTED = "not-accepted"
    # It changed, or it collides with another instance.
    SOURCE_CHANGED = "source-changed"
    SOURCE_GONE = "source-gone"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    # Attempts came to an end without an answer.
    WORKER_LOST = "worker-lost"
    TIME_LIMIT = "time-limit"
    INTERNAL_ERROR = "internal-error"
    # The order cannot be carried out (BadRecipe).
    BAD_RECIPE = "bad-recipe"
    BAD_OPTION = "bad-option"
    BAD_KEY = "bad-key"
    KEY_MISMATCH = "key-mismatch"
    MAPPING_MISMATCH = "mapping-mismatch"
    BAD_SOURCE = "bad-source"
    BAD_DESTINATION = "bad-destination"
    # Something is away for the moment (Unavailable).
    NO_SPACE = "no-space"
    STORAGE_ERROR = "storage-error"
    DATABASE_AWAY = "database-away"
    BROKER_AWAY = "broker-away"
    PEER_AWAY = "peer-away"
    PEER_REFUSED = "peer-refused"
    PEER_ABORTED = "peer-aborted"
    PEER_PROTOCOL = "peer-protocol"
    LEASE_LOST = "lease-lost"
    SERVER_FAILED = "server-failed"


MEANING: dict[Reason, str] = {
    Reason.NOT_DICOM: "The file is not DICOM: no DICM mark, and its first bytes do not read as a data set.",
    Reason.EMPTY_FILE: "The file has no bytes.",
    Reason.DICOMDIR: "A DICOMDIR indexes other files by their old names; it is never passed on (PS3.15 E.1.1).",
    Reason.TRUNCATED: "The data set ends inside an element.",
    Reason.BAD_STRUCTURE: "An element, item or length cannot be true (PS3.5 section 7).",
    Reason.TOO_DEEP: "Sequences are nested deeper than the limit (64).",
    Reason.BAD_DEFLATE: "The deflated data set does not inflate.",
    Reason.INFLATES_TOO_FAR: "The deflated data set inflates past the limit.",
    Reason.UNKNOWN_SYNTAX: "The transfer syntax is not known, so the data set cannot be read.",
    Reason.NO_SOP_CLASS: "SOP Class UID is missing or not a UID.",
    Reason.NO_UID: "Study, Series or SOP Instance UID is missing.",
    Reason.NO_SUBJECT: "Patient ID is empty and the recipe names no fallback.",
    Reason.NOT_IN_CROSSWALK: "The crosswalk that the recipe asks for does not name the subject.",
    Reason.NO_DATE_SHIFT: "No crosswalk or Study Date gives the subject the date shift that the recipe asks for.",
    Reason.BAD_UID: "Study, Series or SOP Instance UID holds more than one UID.",
    Reason.PRIVATE_SOP_CLASS: "The SOP class is private, so no profile covers it, and the recipe does not let it in.",
    Reason.PIXEL_LENGTH: "Pixel Data is shorter than rows, columns, samples, bits and frames say.",
    Reason.PIXELS_AT_RISK: "The pixels may show identifying text and the recipe does not let such instances pass.",
    Reason.PIXELS_UNDECODABLE: "The pixels are not what their transfer syntax and attributes say.",
    Reason.PIXELS_TOO_LARGE: "A frame is larger than the limit, so nothing was allocated for it.",
    Reason.PIXELS_DIFFER: "What was encoded without loss does not decode to the same samples.",
    Reason.CODEC_ABSENT: "No codec that is installed reads or writes these pixels in this transfer syntax.",
    Reason.CODEC_CRASHED: "The process that decodes and encodes died of these pixels, twice.",
    Reason.CODEC_HUNG: "A codec was at a frame for longer than the limit.",
    Reason.CODEC_MEMORY: "A codec needed more memory than the limit.",
    Reason.GATE_REVIEW: "Something that may identify was found in the output: a person has to look.",
    Reason.GATE_WITHHOLD: "The output still holds a value that had to go, or is not what it claims to be.",
    Reason.NOT_ACCEPTED: "The peer takes neither the SOP class nor a transfer syntax that the instance can be sent in.",
    Reason.SOURCE_CHANGED: "The source changed after it was found; the same command, given again, takes it as it is.",
    Reason.SOURCE_GONE: "The source was there when it was found and is gone or unreadable now.",
    Reason.CONFLICT: "Another instance with the same SOP Instance UID and different content was released first.",
    Reason.DUPLICATE: "The same output was already released from another copy of this instance.",
    Reason.WORKER_LOST: "The third worker process died while it had this instance.",
    Reason.TIME_LIMIT: "The third attempt ran into the time limit.",
    Reason.INTERNAL_ERROR: "The farm itself failed on this instance; the log names the place in the code.",
    Reason.BAD_RECIPE: "The recipe does not exist or has an error.",
    Reason.BAD_OPTION: "An option or argument cannot be used.",
    Reason.BAD_KEY: "A key file is unreadable, too open, or not a key.",
    Reason.KEY_MISMATCH: "The project key or the vault key is not the one that this project was begun with.",
    Reason.MAPPING_MISMATCH: "The registry already holds another mapping for the same original.",
    Reason.BAD_SOURCE: "The source does not exist or cannot be read.",
    Reason.BAD_DESTINATION: "The destination cannot be used: inside the source, or of another project or recipe.",
    Reason.NO_SPACE: "The destination has no space left.",
    Reason.STORAGE_ERROR: "The storage answered with an error.",
    Reason.DATABASE_AWAY: "Postgres does not answer.",
    Reason.BROKER_AWAY: "The broker does not answer.",
    Reason.PEER_AWAY: "The DICOM peer cannot be reached, or does not answer in time.",
    Reason.PEER_REFUSED: "The DICOM peer refuses the association, or all that was proposed to it.",
    Reason.PEER_ABORTED: "The DICOM peer ended the association before the work was done.",
    Reason.PEER_PROTOCOL: "The DICOM peer sent what the standard does not allow.",
    Reason.LEASE_LOST: "The lease ended before the work did; another worker has it.",
    Reason.SERVER_FAILED: "An embedded server did not start.",
}


class FarmError(Exception):
    """A reason code and non-identifying fields; the base of every error that the farm raises on purpose."""

    def __init__(self, reason: Reason, hint: str = "", **fields: int | str) -> None:
        """Take the code, a fixed English hint for people, and fields (numbers, tags; never values or paths)."""
        self.reason = reason
        self.hint = hint
        self.fields = fields
        super().__init__(str(self))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.reason, self.hint, self.fields))

    def __str__(self) -> str:
        """Return `code: meaning (field=value ...)`, one line."""
        text = f"{self.reason.value}: {self.hint or MEANING[self.reason]}"
        fields = " ".join(f"{name}={value}" for name, value in self.fields.items())
        return f"{text} ({fields})" if fields else text


def _rebuild(kind: type[FarmError], reason: Reason, hint: str, fields: dict[str, int | str]) -> FarmError:
    return kind(reason, hint, **fields)


class BadInput(FarmError):
    """The instance cannot be processed: quarantine it with the code."""


class BadRecipe(FarmError):
    """The order cannot be carried out: stop the command or the run."""


class Unavailable(FarmError):
    """Something the farm needs is away: give the attempt back and retry."""


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def unavailable(error: OSError) -> Unavailable:
    """Return the error for what a storage said, with the errno's symbol alone: an `OSError` carries a path."""
    reason = Reason.NO_SPACE if error.errno in _FULL else Reason.STORAGE_ERROR
    return Unavailable(reason, errno=symbol_of(error))


@contextmanager
def guarded() -> Iterator[None]:
    """Turn every `OSError` of the block into `Unavailable`."""
    try:
        yield
    except OSError as error:
        raise unavailable(error) from None


def symbol_of(error: OSError) -> str:
    """Return what an errno is called, such as ENOSPC."""
    return errno.errorcode.get(error.errno or 0, "unknown")


def place_of(error: BaseException) -> str:
    """Return the class of an unexpected error and where it was raised; its text may carry a value."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(frames[-1].filename).stem}:{frames[-1].lineno}" if frames else "unknown"
    return f"{type(error).__name__} at {where}"
