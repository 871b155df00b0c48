"""Turn a scan into a message: write and commit the job row first, and publish after that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.scan_job import ScanJob
from worker.bootstrap import Runtime
from worker.errors import BrokerUnavailableError
from worker.queue.messages import push_message
from worker.queue.names import OWN_QUEUE, READ_SCAN
from worker.queue.signing import sign_job
from worker.sources.beneath import hash_scan, open_scan
from worker.sources.file_uris import path_of_uri
from worker.store.jobs import get_job, mark_published
from worker.store.records import JobRecord, JobTicket
from worker.store.registering import register_job
from worker.store.retrying import queue_incomplete
from worker.store.tables import JobState


@dataclass(frozen=True, slots=True)
class Publisher:
    """Writes the job rows of one process and puts their messages on the queue."""

    runtime: Runtime

    def register_scan(self, job: ScanJob, path: Path, *, source: str) -> JobTicket:
        """Write the job row of a scan that lies at ``path``; ``job.id`` must be set.

        Raises
        ------
        InvalidJobError
            The file cannot be read, or is larger than allowed.
        FolderUnavailableError
            Its folder does not answer.
        """
        with open_scan(path, self.runtime.file_roots) as file:
            sha256, size = hash_scan(file, max_file_mb=self.runtime.settings.max_file_mb)
        return register_job(
            self.runtime.engine(),
            job_id=str(job.id),
            uri=job.uri,
            sha256=sha256,
            size=size,
            template=job.template,
            reference=job.reference,
            priority=job.priority,
            source=source,
            duplicates=self.runtime.settings.duplicates,
        )

    def enqueue_scan(self, job: ScanJob, path: Path, *, source: str) -> JobTicket:
        """Write a scan's job row, commit it, then publish its message.

        Raises
        ------
        BrokerUnavailableError
            The row is committed, but the queue does not answer; the reconciler publishes it later.
        """
        ticket = self.register_scan(job, path, source=source)
        if ticket.state is JobState.QUEUED:
            self._publish(str(job.id), job.model_dump(mode="json"), job.priority)
        return ticket

    def read_rest(self, original: str | None) -> bool:
        """Queue and publish the original of a duplicate again if a page of its scan was not read; tell whether it was.

        Whoever sends a scan again after its template came wants the rest of it. A scan whose file is gone cannot be
        read again, and stays as it is.
        """
        record = get_job(self.runtime.engine(), original) if original else None
        path = path_of_uri(record.uri) if record is not None and record.uri else None
        if record is None or (path is not None and not path.exists()):
            return False
        if not queue_incomplete(self.runtime.engine(), record.id):
            return False
        self.publish_again(record.id)
        return True

    def republish(self, record: JobRecord) -> None:
        """Publish a job from its row, as it was, or as closely as the row tells."""
        message = {
            "uri": record.uri,
            "id": record.id,
            "template": record.template,
            "reference": record.reference,
            "priority": record.priority,
        }
        self._publish(record.id, message, record.priority)

    def publish_again(self, job_id: str) -> str | None:
        """Publish a job that was queued again; return what keeps it, if anything: the reconciler publishes it later."""
        record = get_job(self.runtime.engine(), job_id)
        if record is None or record.state is not JobState.QUEUED:
            return None
        try:
            self.republish(record)
        except BrokerUnavailableError as error:
            return f"{error}; the job is kept and runs when the queue is back"
        return None

    def _publish(self, job_id: str, message: dict[str, Any], priority: int) -> None:
        """Put the message of a job on the queue, signed if there is a key, and note that in its row."""
        key = self.runtime.job_key
        self.send_message([sign_job(message, key) if key else message], job_id, priority)
        mark_published(self.runtime.engine(), job_id)

    def send_message(self, args: Any, message_id: str, priority: int) -> None:
        """Put a message at the end of the queue.

        Raises
        ------
        BrokerUnavailableError
            The queue does not answer.
        """
        import redis  # 15 MB, which a server that takes no scans does without

        try:
            client = self.runtime.redis_client()
            push_message(client, OWN_QUEUE, READ_SCAN, args, message_id=message_id, priority=priority)
        except (redis.RedisError, OSError) as error:
            raise BrokerUnavailableError(f"the queue does not take jobs: {error}") from error
