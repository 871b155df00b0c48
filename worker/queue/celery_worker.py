"""Start a Celery worker: its application, tasks, canary, and what each of its children does first and last."""

from __future__ import annotations

from typing import Any

import redis
import structlog
from celery import Celery, Task
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init, worker_process_shutdown

from worker.bootstrap import Runtime
from worker.queue.app import make_app
from worker.queue.beats import free_name, name_here, name_patience_s, record_beat, take_name, touch_beat_file
from worker.queue.canary import add_canary, canary_queue
from worker.queue.names import OWN_QUEUE, QUEUE
from worker.queue.shutdown import bound_shutdown
from worker.queue.tasks import add_tasks
from worker.sources.buckets import prepare_storage
from worker.sources.copies import remove_left_copies
from worker.system.child import prepare_child
from worker.telemetry.logs import configure_logging
from worker.telemetry.tracing import flush_traces, prepare_tracing

log = structlog.get_logger(__name__)

ROLE = "worker"


def run_worker(runtime: Runtime, *, name: str | None, processes: int) -> None:
    """Take scans from the queue in ``processes`` processes until a signal says stop.

    Without a ``name`` the worker takes the first that no other worker of this host has: worker, worker-2 and so on.
    """
    node = name_here(name) if name else _free_node(runtime)
    bound_shutdown(runtime.settings.shutdown_grace_s)
    make_worker_app(runtime).worker_main(
        [
            "--quiet",
            "worker",
            "--pool=prefork",
            f"--concurrency={processes}",
            f"--hostname={node}",
            f"--queues={canary_queue(node)},{OWN_QUEUE},{QUEUE}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
    free_name(runtime.redis_client(), node)


def _free_node(runtime: Runtime) -> str:
    try:
        return take_name(runtime.redis_client(), ROLE, patience_s=name_patience_s(runtime.settings))
    except redis.RedisError:  # Celery waits for it, and says so
        return name_here(ROLE)


def make_worker_app(runtime: Runtime) -> Celery:
    """Build the application of a worker; its signals are Celery's own, so a process has one."""
    app = make_app(runtime)
    add_tasks(app, runtime)
    add_canary(app, runtime)

    @setup_logging.connect(weak=False)  # type: ignore[untyped-decorator]
    def our_logging(**_: Any) -> None:
        configure_logging(runtime.settings.log_level)

    @worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
    def on_child_start(**_: Any) -> None:
        prepare_child(runtime.settings.job_memory_mb)
        remove_left_copies(runtime.copies_folder)
        if runtime.scan_buckets:
            prepare_storage()
        runtime.recognizers()
        prepare_tracing()

    @worker_process_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
    def on_child_end(**_: Any) -> None:
        flush_traces()

    @task_prerun.connect(weak=False)  # type: ignore[untyped-decorator]
    @task_postrun.connect(weak=False)  # type: ignore[untyped-decorator]
    def leave_beat(task: Task, **_: Any) -> None:
        try:
            record_beat(runtime.redis_client(), task.request.hostname)
            touch_beat_file(runtime.settings.beat_file)
        except redis.RedisError as error:
            log.warning("no beat left", reason=str(error))

    return app
