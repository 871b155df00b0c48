"""The watcher: take what is ready, give it to the queue, and move each scan to the folder of its outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from schemas.form_template import FORMLESS
from schemas.mistakes import say_mistakes
from schemas.scan_job import ScanJob
from worker.errors import BrokerUnavailableError, FolderUnavailableError, InvalidJobError, InvalidTemplateError
from worker.inbox import folder
from worker.inbox.folder import Claimed, Sighting
from worker.inbox.probing import Prober
from worker.inbox.stability import Ready, StabilityWatch
from worker.queue.publishing import Publisher
from worker.sources.beneath import hash_scan, open_scan
from worker.sources.file_uris import path_of_uri
from worker.store.holders import find_states
from worker.store.jobs import get_job, record_place
from worker.store.records import JobRecord
from worker.store.registering import record_invalid_job
from worker.store.retrying import find_misplaced, renew_job
from worker.store.tables import JobState

log = structlog.get_logger(__name__)

STEP_S = 0.5
"""How long files are taken before ended scans are moved again."""

RETRY_S = 10.0
"""Pause before a failed move is tried again."""

WATCHED_PER_JOB = 4
"""Files watched until they are stable, for each that may wait in the queue."""

LOOK_BACK_S = 120.0
"""How long after its end a scan is watched for a writer that continues."""

_OUTCOME = {
    JobState.DONE: folder.DONE,
    JobState.FAILED: folder.FAILED,
    JobState.DEAD: folder.FAILED,
    JobState.DUPLICATE: folder.DUPLICATE,
}


@dataclass(frozen=True, slots=True)
class _Ended:
    """A scan that has ended: where it lies, as it was seen there, and until when it is looked at."""

    path: Path
    seen: Sighting
    until: float


class Watcher:
    """One folder and its scans in flight; the next watcher finishes what a kill interrupts."""

    def __init__(self, publisher: Publisher, prober: Prober) -> None:
        settings = publisher.runtime.settings
        self._publisher = publisher
        self._inbox = publisher.runtime.inbox
        self._engine = publisher.runtime.engine()
        self._most = settings.inbox_in_flight
        self._in_flight: dict[str, Claimed] = {}
        self._stuck: dict[str, float] = {}
        self._unregistered: dict[str, Claimed] = {}
        self._waiting: dict[str, float] = {}
        self._ended: dict[str, _Ended] = {}
        self._completed: dict[str, str] = {}  # by a copy's job: that of its original, of which the rest is read
        self._stability = StabilityWatch(
            self._inbox,
            stable_s=settings.stable_s,
            capacity=WATCHED_PER_JOB * self._most,
            check=prober.check,
            incomplete_s=settings.incomplete_s,
        )

    def recover(self) -> None:
        """Continue with what an earlier watcher left in the working folder, and with scans put back for another try."""
        for claimed in folder.iter_claimed(self._inbox):
            if claimed.job_id not in self._in_flight and claimed.job_id not in self._unregistered:
                self._unregistered[claimed.job_id] = claimed
        self._fetch_misplaced()

    def look(self) -> None:
        """Look through the folder for new files."""
        self._stability.look()

    @property
    def wants_more(self) -> bool:
        """Whether files were left for later that could be watched now."""
        return self._stability.more and len(self._stability) - self._stability.put_aside < self._most

    @property
    def idle(self) -> bool:
        """Whether everything that lay in the folder has ended; what cannot be moved does not count."""
        waiting = len(self._stability) - self._stability.put_aside
        registered = set(self._unregistered) <= set(self._waiting)
        return not waiting and registered and set(self._in_flight) <= set(self._stuck) and not self._completed

    @property
    def stuck(self) -> int:
        """The number of files that cannot be taken, or cannot be moved to where they belong."""
        return len(self._stuck) + len(self._waiting) + self._stability.put_aside

    @property
    def due_s(self) -> float:
        """Seconds until the next file may be taken; inf where none is watched."""
        return self._stability.due_s

    def step(self) -> None:
        """Do what can be done now (register, take, move); do nothing while the folder is away."""
        folder.require(self._inbox)
        now = time.monotonic()
        for claimed in list(self._unregistered.values()):
            if self._waiting.get(claimed.job_id, 0.0) <= now:
                self._register(claimed)
        self._take_ready()
        self._move_ended()
        self._forget_completed()
        self._look_back()

    def _take_ready(self) -> None:
        enough = time.monotonic() + STEP_S
        if self._room <= 0:
            return
        for ready in self._stability.ready():
            self._take(ready)
            if self._room <= 0 or time.monotonic() > enough:
                return

    @property
    def _room(self) -> int:
        """The number of scans that may still be taken; those that cannot be read or moved now do not count."""
        return self._most - (len(self._in_flight) - len(self._stuck)) - (len(self._unregistered) - len(self._waiting))

    def _take(self, ready: Ready) -> None:
        try:
            claimed = folder.claim(self._inbox, ready.name, ready.seen)
        except OSError as error:
            log.error("a scan cannot be taken", name=str(ready.name), reason=error.strerror)
            self._stability.put_off(ready.name, RETRY_S)
            return
        self._stability.forget(ready.name)
        if claimed is not None:
            log.info("scan taken", job=claimed.job_id, name=str(ready.name), damage=ready.damage)
            self._unregistered[claimed.job_id] = claimed
            self._register(claimed)

    def _register(self, claimed: Claimed) -> None:
        """Write the row of the job, commit, publish; leave a row that exists already."""
        try:
            if get_job(self._engine, claimed.job_id) is None:
                self._enqueue(claimed)
        except FolderUnavailableError as error:
            log.error("a scan cannot be read now", job=claimed.job_id, reason=str(error))
            self._waiting[claimed.job_id] = time.monotonic() + RETRY_S
            return
        except BrokerUnavailableError as error:
            log.warning("queue away: the job is kept and published later", job=claimed.job_id, reason=str(error))
        self._waiting.pop(claimed.job_id, None)
        self._in_flight[claimed.job_id] = self._unregistered.pop(claimed.job_id)

    def _enqueue(self, claimed: Claimed) -> None:
        uri = claimed.path.as_uri()
        try:
            template = claimed.template_among(self._known_names())
            job = ScanJob.model_validate({"uri": uri, "id": claimed.job_id, "template": template})
            ticket = self._publisher.enqueue_scan(job, claimed.path, source="inbox")
            if ticket.duplicate_of and self._publisher.read_rest(ticket.duplicate_of):
                self._completed[claimed.job_id] = ticket.duplicate_of
        except ValidationError as error:
            reason = f"the folder or the file has a name that no job can have: {say_mistakes(error)}"
            record_invalid_job(self._engine, uri, reason, job_id=claimed.job_id, source="inbox")
        except InvalidJobError as error:
            record_invalid_job(self._engine, uri, str(error), job_id=claimed.job_id, source="inbox")

    def _known_names(self) -> set[str]:
        """Return what a folder may name; no template while the file of one cannot be read, which the worker says."""
        try:
            templates = self._publisher.runtime.templates().values()
        except InvalidTemplateError as error:
            log.warning("no folder is taken for a template's", reason=str(error))
            return set(FORMLESS)
        return {*FORMLESS, *(t.name for t in templates), *(t.form for t in templates if t.form)}

    def _has_changed(self, claimed: Claimed, record: JobRecord) -> bool:
        """Tell whether a scan grew after it was read: a scanner may write its next page minutes after the first."""
        settings = self._publisher.runtime.settings
        try:
            with open_scan(claimed.path, (self._inbox,)) as file:
                return hash_scan(file, max_file_mb=settings.max_file_mb)[0] != record.sha256
        except (InvalidJobError, FolderUnavailableError):
            return False

    def _read_again(self, claimed: Claimed) -> bool:
        """Queue the job of a scan that changed once more; False where it is queued already."""
        if not renew_job(self._engine, claimed.job_id):
            return False
        log.warning("a scan changed after it was read, and is read again", job=claimed.job_id, name=str(claimed.name))
        return True

    def _look_back(self) -> None:
        """Take up again what changed in ``done/`` or ``failed/``: its writer had not closed it."""
        now = time.monotonic()
        for job_id, ended in list(self._ended.items()):
            seen = folder.sight(ended.path)
            if seen is None or now > ended.until:
                del self._ended[job_id]
            elif seen != ended.seen:
                del self._ended[job_id]
                outcome, *rest = ended.path.relative_to(self._inbox).parts
                name = Path(*rest)
                claimed = Claimed(job_id, self._inbox / folder.WORKING / job_id / name, name)
                if self._read_again(claimed):
                    self._bring_back(claimed, outcome)

    def _bring_back(self, claimed: Claimed, outcome: str) -> None:
        record_place(self._engine, claimed.job_id, claimed.path.as_uri())
        folder.bring_back(self._inbox, claimed.name, outcome, claimed.job_id)
        self._in_flight[claimed.job_id] = claimed

    def _fetch_misplaced(self) -> None:
        """Take scans back that lie where they do not belong.

        These are copies that are read now because their originals failed, and scans that ``icr retry`` queued again at
        the moment of their move.
        """
        places = {state: (self._inbox / outcome).as_uri() + "/" for state, outcome in _OUTCOME.items()}
        for job_id, uri in find_misplaced(self._engine, places):
            path = path_of_uri(uri)
            if job_id in self._in_flight or path is None or folder.sight(path) is None:
                continue
            outcome, *rest = path.relative_to(self._inbox).parts
            self._bring_back(Claimed(job_id, self._inbox / folder.WORKING / job_id / Path(*rest), Path(*rest)), outcome)

    def _forget_completed(self) -> None:
        """Forget the originals that were read again, once their copies have their places."""
        if self._completed:
            states = find_states(self._engine, set(self._completed.values()))
            is_open = {job_id for job_id, state in states.items() if state not in _OUTCOME}
            kept = {c: job_id for c, job_id in self._completed.items() if c in self._in_flight or job_id in is_open}
            self._completed = kept

    def _move_ended(self) -> None:
        now = time.monotonic()
        waiting = [job_id for job_id in self._in_flight if self._stuck.get(job_id, 0.0) <= now]
        if not waiting:
            return
        for job_id, state in find_states(self._engine, waiting).items():
            if state in _OUTCOME:
                self._move(self._in_flight[job_id], state)

    def _move(self, claimed: Claimed, state: JobState) -> None:
        before = folder.sight(claimed.path)
        record = get_job(self._engine, claimed.job_id)
        if record and state is JobState.DONE and self._has_changed(claimed, record) and self._read_again(claimed):
            return
        reason = record.error_reason if record else None
        if state is JobState.DUPLICATE and record:
            reason = f"the same scan as job {record.duplicate_of}"
            if claimed.job_id in self._completed:
                reason += ", which is read again because a page of it was not read; what people decided stays"
            else:
                reason += ": not read again; after a change of its form, 'icr reread' reads it anew"
        target = folder.place(self._inbox, claimed, _OUTCOME[state])
        try:
            # The new place is written first, so that after a kill in between the scan is still found.
            if not record_place(self._engine, claimed.job_id, target.as_uri(), state=state):
                return  # it was queued again since its state was asked for
            folder.dispose(self._inbox, claimed, target, reason)
        except OSError as error:
            if folder.sight(claimed.path) is not None:
                if claimed.job_id not in self._stuck:
                    log.error("a scan cannot be moved", job=claimed.job_id, to=str(target), reason=error.strerror)
                self._stuck[claimed.job_id] = time.monotonic() + RETRY_S
                return
            log.warning("a scan is gone from the working folder", job=claimed.job_id)
        else:
            log.info("scan ended", job=claimed.job_id, state=state.value, name=str(claimed.name), reason=reason)
            seen = folder.sight(target)
            if before is not None and seen is not None and before.inode == seen.inode:
                seen = before  # what was written since it was looked at is seen as a change
            if seen is not None and state in (JobState.DONE, JobState.FAILED):
                self._ended[claimed.job_id] = _Ended(target, seen, time.monotonic() + LOOK_BACK_S)
        self._in_flight.pop(claimed.job_id, None)
        self._stuck.pop(claimed.job_id, None)
