"""The errors of the line: permanent ones are recorded and never retried, transient ones are tried again."""

from __future__ import annotations


class IcrError(Exception):
    """Base of all errors that this project raises on purpose; its text is one line for a person."""


class PermanentError(IcrError):
    """Trying again cannot help: recorded with its reason, never retried."""


class TransientError(IcrError):
    """The world may be better later: retried with bounded backoff."""


class UnreadableScanError(PermanentError):
    """The bytes of a scan are not a picture that can be read, or break a limit."""


class UnknownTemplateError(PermanentError):
    """No form template of that name is known."""


class InvalidTemplateError(PermanentError):
    """A form template file breaks the schema or contradicts itself; says where."""


class InvalidJobError(PermanentError):
    """A job message breaks the schema or names what it may not."""


class InvalidReviewError(PermanentError):
    """A review names no field, no number or nobody."""


class ModelFileError(PermanentError):
    """A model file is missing, or its checksum is not the one in its model card."""


class MissingProgramError(PermanentError):
    """A program that this scan needs is not installed; says which, and how to get it."""


class SettingsError(PermanentError):
    """A setting is missing, malformed or contradicts another."""


class DatabaseUnavailableError(TransientError):
    """The database does not answer."""


class PlaceUnavailableError(TransientError):
    """The place that a scan lies in is away; other scans, and the database, are not."""


class FolderUnavailableError(PlaceUnavailableError):
    """A folder that scans lie in is not there, as when a network drive is away."""


class StorageUnavailableError(PlaceUnavailableError):
    """Object storage that scans lie in does not answer, or there is no room for a copy of one."""


class BrokerUnavailableError(TransientError):
    """Redis does not answer."""
