"""Take in what a mailbox holds: rows first, then the message is moved, so that a kill at any moment loses no scan.

The id of a job follows from the message and the bytes of the attachment. A message that is met again, because a kill
came before its move or because somebody laid it back, finds its rows there and makes no second ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path

import structlog

from schemas.scan_job import ScanJob
from worker.errors import BrokerUnavailableError, InvalidJobError, SlowScanError, UnreadableScanError
from worker.inbox.posted import find_kept, keep_file, new_file
from worker.inbox.probing import Prober
from worker.mail.letter import Attachment, Letter, Refusal
from worker.mail.mailbox import Mailbox
from worker.mail.opening import Opener
from worker.queue.publishing import Publisher
from worker.store.jobs import get_job
from worker.store.letters import MAIL, keep_letter
from worker.store.registering import record_invalid_job

log = structlog.get_logger(__name__)

BY_MAIL = uuid.UUID("0f2f1c8e-6b61-5b0a-9a35-6f7a4a3c1d57")
"""Namespace of the ids of jobs that came by mail."""

RETRY_S = 60.0
"""Pause before a message is tried again that could not be taken in or moved."""

_HEAD_BYTES = 65_536


class Intake:
    """Takes in the messages of one mailbox."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._settings = publisher.runtime.settings
        self._inbox = publisher.runtime.inbox.resolve()
        self._opener = Opener(self._settings)
        self._prober = Prober(self._settings, self._inbox)
        self._not_before: dict[str, float] = {}

    def close(self) -> None:
        """Stop the helper processes; the next message starts them again."""
        self._opener.close()
        self._prober.close()

    def take_in(self, mailbox: Mailbox, beat: Callable[[], None] = lambda: None) -> int:
        """Take in all messages of the folder; return how many were moved. ``beat`` is called for each.

        Raises
        ------
        TransientError
            The mailbox, the database or the disk is away; what was not taken in stays in the folder.
        """
        moved, now = 0, time.monotonic()
        messages = mailbox.list_messages()
        self._not_before = {uid: due for uid, due in self._not_before.items() if uid in messages and due > now}
        for uid in messages:
            if uid in self._not_before:
                continue
            beat()
            self._not_before[uid] = now + RETRY_S  # a message that ends the connection does not hold up the others
            if (letter := self._open(mailbox, uid)) is not None:
                self._end(mailbox, uid, letter, self.take(letter))
                moved += 1
            del self._not_before[uid]
        self.close()
        return moved

    def take(self, letter: Letter) -> list[Refusal]:
        """Keep who sent it and the attachments, write their rows, and one of what was refused; return what was."""
        engine = self._publisher.runtime.engine()
        keep_letter(engine, letter.reference, sender=letter.sender, subject=letter.subject)
        refused = list(letter.refusals)
        for attachment in letter.attachments:
            if (refusal := self._take_scan(letter, attachment)) is not None:
                refused.append(refusal)
        for refusal in refused:
            told = json.dumps({"message": letter.reference, "attachment": refusal.name})
            job_id = uuid.uuid5(BY_MAIL, f"{letter.reference}\n{refusal}")
            record_invalid_job(
                engine,
                told,
                str(refusal),
                job_id=str(job_id),
                reference=letter.reference,
                source=MAIL,
            )
        log.info("mail taken in", reference=letter.reference, scans=len(letter.attachments), refused=len(refused))
        return refused

    def _open(self, mailbox: Mailbox, uid: str) -> Letter | None:
        """Fetch a message and take it apart; of one that is too large, only its head is fetched."""
        size, most = mailbox.size_of(uid), int(self._settings.mail_max_mb * 2**20)
        if size is None:
            return None
        raw = mailbox.fetch(uid, most=most if size <= most else _HEAD_BYTES)
        if raw is None:
            return None
        letter = self._opener.open(raw)
        if size <= most:
            return letter
        limit = Refusal("", f"{size / 2**20:.1f} MB; the limit is {self._settings.mail_max_mb:g} (ICR_MAIL_MAX_MB)")
        return replace(letter, attachments=(), refusals=(limit,))

    def _take_scan(self, letter: Letter, attachment: Attachment) -> Refusal | None:
        """Keep an attachment, write its row and publish it; return why it was not taken."""
        digest = hashlib.sha256(attachment.content).hexdigest()
        job_id = str(uuid.uuid5(BY_MAIL, f"{letter.reference}\n{digest}"))
        if get_job(self._publisher.runtime.engine(), job_id) is not None:
            return None
        place = find_kept(self._inbox, job_id)
        try:
            if place is None:
                place = self._keep(attachment, job_id)
            job = ScanJob(
                uri=place.as_uri(),
                id=uuid.UUID(job_id),
                template=self._settings.mail_template,
                reference=letter.reference,
            )
            ticket = self._publisher.enqueue_scan(job, place, source=MAIL)
            self._publisher.read_rest(ticket.duplicate_of)
        except (UnreadableScanError, InvalidJobError) as error:
            return Refusal(attachment.name, str(error))
        except BrokerUnavailableError as error:
            log.warning("queue away: the job is kept and published later", job=job_id, reason=str(error))
        return None

    def _keep(self, attachment: Attachment, job_id: str) -> Path:
        """Write an attachment to where it stays, if it decodes whole.

        Raises
        ------
        UnreadableScanError
            It does not.
        """
        received, file = new_file(self._inbox)
        try:
            with file:
                file.write(attachment.content)
            with contextlib.suppress(SlowScanError):  # the worker has more time
                self._prober.check(received)
            return keep_file(self._inbox, received, job_id, attachment.name)
        finally:
            received.unlink(missing_ok=True)

    def _end(self, mailbox: Mailbox, uid: str, letter: Letter, refused: Sequence[Refusal]) -> None:
        """Move a message whose rows are written; where something was refused, a note beside it says why."""
        if not refused:
            mailbox.move(uid, self._settings.mail_done)
            return
        mailbox.move(uid, self._settings.mail_failed)
        mailbox.leave_note(self._settings.mail_failed, write_note(letter, refused))


def write_note(letter: Letter, refused: Sequence[Refusal]) -> bytes:
    """Return a message that says what was not taken of another one, which mail programs show as an answer to it."""
    note = EmailMessage()
    note["From"] = "icr-worker <icr-worker@localhost.invalid>"
    note["Subject"] = "Not read: what this message holds"
    note["Date"] = formatdate()
    known = letter.reference.removeprefix("mail:")
    if "@" in known:
        note["In-Reply-To"] = note["References"] = f"<{known}>"
    lines = [f"- {refusal}" for refusal in refused]
    taken = f"{len(letter.attachments)} other attachments were taken." if letter.attachments else ""
    note.set_content("\n".join(["Not taken of this message:", "", *lines, "", taken, f"reference {letter.reference}"]))
    return note.as_bytes()
