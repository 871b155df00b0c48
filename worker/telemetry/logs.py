"""One JSON line for each event: with the job's id, with secrets masked, and safe from forged file names."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from worker.telemetry.secrets import mask_secrets

_NOISY = (
    *("celery", "kombu", "amqp", "watchfiles", "alembic", "sqlalchemy"),
    *("botocore", "aiobotocore", "s3fs", "fsspec", "asyncio", "urllib3"),  # they log signed requests, too
)

Event = MutableMapping[str, Any]


def _mask_event(_logger: Any, _method: str, event: Event) -> Event:
    return {key: mask_secrets(value) if isinstance(value, str) else value for key, value in event.items()}


_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _mask_event,
]


def configure_logging(level: str) -> None:
    """Send our events and those of the libraries to stderr as JSON lines.

    JSON escapes line breaks and marks of writing direction, so a file name cannot forge a line. Libraries log from
    ``warning`` on only, because below it Celery and SQLAlchemy print messages and parameters, which hold readings.
    """
    handler = logging.StreamHandler(sys.stderr)
    renderer = structlog.processors.JSONRenderer(ensure_ascii=True, default=str)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    logging.captureWarnings(True)  # Python spreads a warning over several lines
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)  # below it they log every try
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
