"""Take a message apart: the scans in it, and what cannot be taken, each with its reason.

The parts are told apart by their first bytes, as files in the folder are; what a message says of them is not trusted.
"""

from __future__ import annotations

import contextlib
import email
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message

from worker.errors import UnreadableScanError
from worker.file_kinds import sniff_type
from worker.system.harmless import make_harmless

MAX_PARTS = 200
DEEPEST = 8
"""Messages and parts within others that are looked into."""

LOGO_BYTES = 50_000
"""A picture within the text that has fewer bytes is taken for a logo: one of a page has 100 kB and more."""

MAX_LINES_OF_PARTS = 5_000
"""Lines that may begin a part: one object a part would let a message of 50 MB fill the memory."""

LONGEST_NAME = 80
LONGEST_HEADER = 200
"""Characters that are kept of a sender and of a subject."""
_HEAD_BYTES = 1024
_MESSAGE_ID = re.compile(r"<([!-;=?-~]{1,150})>")
"""RFC 5322, 3.6.4: printable ASCII in angle brackets; a longer one is hashed."""

_SIGNATURES = {"application/pgp-signature", "application/pgp-keys", "application/pkcs7-signature"}
_SIGNATURES |= {"application/x-pkcs7-signature"}
_SEALED = {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"}
_WHY = {"application/ms-tnef": "Outlook packed its attachments into a format of its own: send it as HTML or plain text"}
SEALED = "the message is encrypted"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message: the name that its sender gave it, and its bytes, which begin as a scan does."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not taken of a message, by its name, '' for the message itself, and why: one line for a person."""

    name: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.name}: {self.reason}" if self.name else self.reason


@dataclass(frozen=True, slots=True)
class Letter:
    """A message taken apart; the same message has the same ``reference`` whenever it is fetched.

    ``sender`` and ``subject`` are what it says of itself, which nobody has checked.
    """

    reference: str
    attachments: tuple[Attachment, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    sender: str = ""
    subject: str = ""


def open_letter(raw: bytes, *, max_file_mb: float) -> Letter:
    """Take apart the bytes of a message; whatever they are, a letter comes of them, which may hold a refusal only."""
    if raw.count(b"\n--") > MAX_LINES_OF_PARTS:
        return Letter(name_message(None, raw), refusals=(Refusal("", f"more than {MAX_PARTS} parts"),))
    try:
        message = email.message_from_bytes(raw)
        reference = name_message(message, raw)
        found = list(_find(message, max_file_mb))
    except (RecursionError, ValueError, LookupError, TypeError, MessageError) as error:  # email raises any of them
        broken = Refusal("", f"the message cannot be taken apart ({type(error).__name__})")
        return Letter(name_message(None, raw), refusals=(broken,))
    attachments = tuple(each for each in found if isinstance(each, Attachment))
    refusals = tuple(each for each in found if isinstance(each, Refusal))
    if not attachments and not refusals:
        refusals = (Refusal("", "no file is attached that could be a scan"),)
    return Letter(reference, attachments, refusals, _header(message, "From"), _header(message, "Subject"))


def name_message(message: Message | None, raw: bytes) -> str:
    """Return the reference of a message: its Message-ID, or a digest where it has none that could be one."""
    stated = str(message.get("Message-ID", "")) if message is not None else ""
    known = _MESSAGE_ID.search(stated)
    return f"mail:{known[1]}" if known else f"mail:{hashlib.sha256(stated.encode() or raw).hexdigest()[:32]}"


def _find(message: Message, max_file_mb: float) -> Iterator[Attachment | Refusal]:
    for number, part in enumerate(_leaves(message, 0)):
        if isinstance(part, Refusal):
            yield part
        elif number >= MAX_PARTS:
            yield Refusal("", f"more than {MAX_PARTS} parts")
            return
        elif found := _look_at(part, max_file_mb):
            yield found


def _leaves(part: Message, depth: int) -> Iterator[Message | Refusal]:
    kind = part.get_content_type()
    if kind in _SEALED:
        yield Refusal("", SEALED)
        return
    inner = part.get_payload()
    if not isinstance(inner, list) or (kind != "message/rfc822" and part.get_content_maintype() != "multipart"):
        yield part
    elif depth >= DEEPEST:
        yield Refusal("", f"messages within messages, more than {DEEPEST} deep")
    else:
        for each in (part for part in inner if isinstance(part, Message)):
            yield from _leaves(each, depth + 1)


def _look_at(part: Message, max_file_mb: float) -> Attachment | Refusal | None:
    """Return what a part is; None for text, signatures and logos, which nobody sent to be read."""
    kind = part.get_content_type()
    if part.get_content_maintype() in ("text", "message") or kind in _SIGNATURES:
        return None
    name, content = _name_of(part), part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content:
        return Refusal(name, "the attachment is empty")
    if len(content) < LOGO_BYTES and _is_shown_in_text(part):
        return None
    if len(content) > max_file_mb * 2**20:
        return Refusal(name, f"{len(content) / 2**20:.1f} MB; the limit is {max_file_mb:g} (ICR_MAX_FILE_MB)")
    try:
        sniff_type(content[:_HEAD_BYTES])
    except UnreadableScanError as error:
        return Refusal(name, _WHY.get(kind, str(error)))
    return Attachment(name, content)


def _is_shown_in_text(part: Message) -> bool:
    """Tell a picture that the HTML of the message shows by its Content-ID (RFC 2392)."""
    content_id = str(part.get("Content-ID", "")).strip().strip("<>")
    is_picture = part.get_content_maintype() == "image"
    return bool(content_id) and is_picture and part.get_content_disposition() != "attachment"


def _name_of(part: Message) -> str:
    return _decoded(part.get_filename() or "")[:LONGEST_NAME] or "an attachment without a name"


def _header(message: Message, name: str) -> str:
    return _decoded(str(message.get(name, "")))[:LONGEST_HEADER]


def _decoded(stated: str) -> str:
    """Return the text of a header in one harmless line."""
    with contextlib.suppress(LookupError, ValueError, MessageError):
        stated = str(make_header(decode_header(stated)))
    return make_harmless(" ".join(stated.split()))
