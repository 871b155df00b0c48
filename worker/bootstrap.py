"""Where the parts are put together: settings are read once here, and everybody gets small explicit values."""

from __future__ import annotations

import datetime as dt
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pydantic
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.errors import SettingsError
from worker.settings import Settings
from worker.sources.buckets import REST_S, BucketRoot, ObjectStorage, parse_roots
from worker.sources.places import Folders, Place, Places, Resting
from worker.system.private_redis import socket_path

if TYPE_CHECKING:  # the models and the decoders are loaded in the worker's children only, never in a parent that forks
    from sqlalchemy import Engine

    from schemas.form_template import FormTemplate
    from worker.checks.policy import CheckPolicy
    from worker.decision import AcceptPolicy
    from worker.rasterizer import RasterLimits
    from worker.values import Recognizers

SOCKET_TIMEOUT_S = 15.0
"""A Redis that is silent for longer is taken as gone, so that nobody waits on a dead connection for ever."""


@functools.lru_cache(maxsize=1)
def settings() -> Settings:
    """Read every ``ICR_*`` setting, once a process.

    Raises
    ------
    SettingsError
        If one is malformed or two contradict; names each.
    """
    try:
        read = Settings()
    except pydantic.ValidationError as error:
        problems = "; ".join(f"ICR_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise SettingsError(problems) from error
    parse_roots(read.scan_roots)
    if read.visibility_timeout_s < read.job_time_limit_s + 20:
        raise SettingsError(
            "ICR_VISIBILITY_TIMEOUT_S must be at least 20 s more than ICR_JOB_TIME_LIMIT_S: "
            "a scan still being read would be handed out a second time"
        )
    return read


def home() -> Path:
    """Return the absolute folder of one-machine mode."""
    return settings().home.absolute()


def inbox() -> Path:
    """Return the absolute watched folder."""
    return (settings().inbox or home() / "inbox").absolute()


def scan_roots() -> tuple[Path, ...]:
    """Return the folders under which a job may name files, links resolved; the inbox is one."""
    named, _ = parse_roots(settings().scan_roots)
    return tuple(folder.resolve() for folder in [inbox(), *named])


def scan_buckets() -> tuple[BucketRoot, ...]:
    """Return the places in object storage under which a job may name objects."""
    return tuple(parse_roots(settings().scan_roots)[1])


def copies_folder() -> Path:
    """Return where copies of scans from object storage lie while they are read."""
    return home() / "tmp"


def scan_places() -> Places:
    """Return every place that a job may name scans in."""
    return Places(Folders(scan_roots()), _storage())


@functools.lru_cache(maxsize=1)
def _storage() -> Place | None:
    buckets = scan_buckets()
    return Resting(ObjectStorage(buckets, copies_folder(), raster_limits()), REST_S) if buckets else None


def database_url() -> str:
    """Return the database: the one that is set, else SQLite under home."""
    return settings().database_url or f"sqlite:///{home() / 'icr.db'}"


def job_key() -> str | None:
    """Return the key that signs job messages, None where jobs need no signature."""
    key = settings().job_key
    return key.get_secret_value() if key else None


def redis_url() -> str:
    """Return the broker as redis-py wants it: the one that is set, else the private Redis of home."""
    url = settings().broker_url or f"unix://{socket_path(home())}"
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:  # kombu would take any certificate
        url += ("&" if "?" in url else "?") + "ssl_cert_reqs=required"
    return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")


def broker_url() -> str:
    """Return the broker as Celery wants it: a Unix socket has a scheme of its own there."""
    parts = urlsplit(redis_url())
    if parts.scheme != "unix":
        return redis_url()
    return f"redis+socket://{parts.path}?{parts.query.replace('db=', 'virtual_host=') or 'virtual_host=0'}"


def redis_client() -> redis.Redis:
    """Return a new client of the broker; it connects when first used."""
    client: redis.Redis = redis.Redis.from_url(
        redis_url(),
        socket_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
        client_name="icr",
    )
    return client


def shared_redis() -> redis.Redis:
    """Return the client of this process."""
    return _redis_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _redis_of(_pid: int) -> redis.Redis:
    return redis_client()


def engine() -> Engine:
    """Return the database engine of this process: a forked child never shares its parent's connections."""
    return _engine_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _engine_of(_pid: int) -> Engine:
    from worker.store.engine import make_engine

    if settings().database_url is None:
        home().mkdir(parents=True, exist_ok=True)
    return make_engine(database_url())


def raster_limits() -> RasterLimits:
    """Return what a scan may ask of the machine."""
    from worker.rasterizer import RasterLimits

    read = settings()
    return RasterLimits(
        max_pages=read.max_pages,
        max_megapixels=read.max_megapixels,
        max_file_mb=read.max_file_mb,
        pdf_dpi=read.pdf_dpi,
        page_timeout_s=read.page_timeout_s,
    )


@functools.lru_cache(maxsize=1)
def recognizers() -> Recognizers:
    """Load the models of this process: call it in a worker's child, never in the parent that forks."""
    from worker.models.runtime import load_recognizers

    read = settings()
    return load_recognizers(calibration=read.calibration, max_substitution_rate=read.max_substitution_rate)


@functools.lru_cache(maxsize=1)
def templates() -> dict[str, FormTemplate]:
    """Load the form templates of this process, the shipped ones and the user's own, by name."""
    from worker.forms.templates import load_templates

    return load_templates(settings().templates)


def accept_policy() -> AcceptPolicy:
    """Return what a field needs to be accepted."""
    from worker.decision import AcceptPolicy

    return AcceptPolicy()


def check_policy() -> CheckPolicy:
    """Return what a check read today must hold to."""
    from worker.checks.grammar import LOCALES
    from worker.checks.policy import CheckPolicy

    read = settings()
    return CheckPolicy(
        locale=LOCALES[read.check_locale],
        today=dt.date.today(),
        months_back=read.check_months_back,
        months_ahead=read.check_months_ahead,
        max_amount=read.check_max_amount,
    )
