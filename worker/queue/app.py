"""The Celery application: one queue with priorities on Redis, JSON only, acknowledged after the commit."""

from __future__ import annotations

from celery import Celery

from worker.bootstrap import SOCKET_TIMEOUT_S, Runtime
from worker.queue.names import HARD_LIMIT_MARGIN_S, MOST_URGENT, QUEUE
from worker.queue.transport import use_hardened_transport


def make_app(runtime: Runtime) -> Celery:
    """Build the application of one process; a worker's needs its tasks beside it (``run_worker``).

    Late acknowledgement and ``reject_on_worker_lost`` give the message of a dead worker to the next one. The job row in
    SQL counts the deliveries, so a scan that kills its worker is not delivered for ever. The remote control is off, so
    that nobody who can write to Redis can command a worker.
    """
    settings = runtime.settings
    use_hardened_transport()
    app = Celery("icr", broker=runtime.broker_url)
    app.conf.update(
        accept_content=["json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": settings.visibility_timeout_s,
            "priority_steps": list(range(MOST_URGENT + 1)),
            "queue_order_strategy": "priority",
            "socket_timeout": SOCKET_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
        },
        task_acks_late=True,
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_reject_on_worker_lost=True,
        task_serializer="json",
        task_soft_time_limit=settings.job_time_limit_s,
        task_time_limit=settings.job_time_limit_s + HARD_LIMIT_MARGIN_S,
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        worker_proc_alive_timeout=60,  # a child loads its model first; 4 s are not enough
    )
    return app
