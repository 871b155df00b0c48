"""The errors of the line: permanent ones are recorded and never retried, transient ones are tried again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class IcrError(Exception):
    """Base of all errors that this project raises on purpose; its text is one line for a person."""


class PermanentError(IcrError):
    """Trying again cannot help: recorded with its reason, never retried."""


class TransientError(IcrError):
    """The world may be better later: retried with bounded backoff."""


class UnreadableScanError(PermanentError):
    """The bytes of a scan are not a picture that can be read, or break a limit.

    ``incomplete`` tells that they end too early: whoever writes the file may not be done yet.
    """

    def __init__(self, reason: str, *, incomplete: bool = False) -> None:
        super().__init__(reason)
        self.incomplete = incomplete


class SlowScanError(UnreadableScanError):
    """Decoding a scan takes longer than whoever asked can wait; a worker has more time."""


class UnknownTemplateError(PermanentError):
    """No form template of that name is known."""


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """One mistake in a template file: what it is, and where.

    ``path`` leads to it through the JSON by keys and 0-based positions in lists, as ``("fields", 3, "box_mm", 2)``;
    it is empty where the whole file is meant. ``line`` counts from 1, and is None where the file is no JSON text.
    """

    file: Path
    message: str
    line: int | None = None
    path: tuple[int | str, ...] = ()

    def __str__(self) -> str:
        """Return file, line and message in one line."""
        return f"{self.file}, line {self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class InvalidTemplateError(PermanentError):
    """Form template files break the schema or contradict themselves or one another; ``problems`` says where."""

    def __init__(self, *problems: TemplateProblem) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class DifferentRowsError(PermanentError):
    """Fields of a form cannot be repeated rows, or rows cannot be fields."""


class InvalidJobError(PermanentError):
    """A job message breaks the schema or names what it may not."""


class MissingScanError(InvalidJobError):
    """The file that a job names is not there, or not yet."""


class InvalidReviewError(PermanentError):
    """A review names no field, no number or nobody."""


class DoubtfulReviewError(InvalidReviewError):
    """A person's answer misses the field's grammar or breaks a rule; it is taken where the person overrules that."""


class StaleReviewError(InvalidReviewError):
    """Somebody else has decided the field, or has it in hand, since it was shown."""


class InvalidUserError(PermanentError):
    """A user, a password or a token is missing, taken or unfit."""


class RefusedSignInError(PermanentError):
    """A provider of identities does not say who is there, or gives them no role."""


class InvalidWebhookError(PermanentError):
    """A webhook leads where none may go, or is not there."""


class ModelFileError(PermanentError):
    """A model file is missing, or its checksum is not the one in its model card."""


class MissingProgramError(PermanentError):
    """A program that this scan needs is not installed; says which, and how to get it."""


class SettingsError(PermanentError):
    """A setting is missing, malformed or contradicts another."""


class DatabaseUnavailableError(TransientError):
    """The database does not answer."""


class SignInUnavailableError(TransientError):
    """A provider of identities does not answer, or says of itself what cannot be."""


class ScanContinuesError(TransientError):
    """A long scan was handed back with the pages that were read, so that others go first."""


class PlaceUnavailableError(TransientError):
    """The place that a scan lies in is away; other scans, and the database, are not."""


class FolderUnavailableError(PlaceUnavailableError):
    """A folder that scans lie in is not there, as when a network drive is away."""


class StorageUnavailableError(PlaceUnavailableError):
    """Object storage that scans lie in does not answer, or there is no room for a copy of one."""


class MailUnavailableError(TransientError):
    """The mailbox does not answer, or does not let us in."""


class BrokerUnavailableError(TransientError):
    """Redis does not answer."""


class BrokerDiskFullError(BrokerUnavailableError):
    """The private Redis has no room for its log."""
