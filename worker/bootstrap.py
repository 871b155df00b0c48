"""Where the parts are put together: an entry point builds one runtime from the settings and passes it in."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

import pydantic

from schemas.mistakes import list_mistakes
from worker.errors import InvalidTemplateError, SettingsError
from worker.settings import Settings
from worker.sources.buckets import REST_S, BucketRoot, ObjectStorage, parse_roots
from worker.sources.places import Folders, Place, Places, Resting
from worker.system.private_redis import socket_path

if TYPE_CHECKING:  # the models and the decoders are loaded in the worker's children only, never in a parent that forks
    import redis
    from sqlalchemy import Engine

    from schemas.form_template import FormTemplate
    from worker.checks.policy import CheckPolicy
    from worker.decision.fields import AcceptPolicy
    from worker.rasterizer import RasterLimits
    from worker.values import Recognizers

T = TypeVar("T")

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://", "redis+socket://")

SECRETS = Path("/run/secrets")

SOCKET_TIMEOUT_S = 15.0
"""A Redis that is silent for longer is taken as gone, so that nobody waits on a dead connection for ever."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """All that one process works with: its settings, what follows from them, and what is opened or loaded once.

    What is called is made when it is first asked for, once a process: a forked child makes its own, because neither
    connections (celery#1564) nor OpenCV and ONNX Runtime (opencv#5150) live through a fork. So ``recognizers`` and
    ``limits`` are asked for in the worker's children only, never in the parent that forks.
    """

    settings: Settings
    engine: Callable[[], Engine]
    redis_client: Callable[[], redis.Redis]
    places: Callable[[], Places]
    limits: Callable[[], RasterLimits]
    templates: Callable[[], dict[str, FormTemplate]]
    recognizers: Callable[[], Recognizers]

    @property
    def home(self) -> Path:
        """Return the absolute folder of one-machine mode."""
        return self.settings.home.absolute()

    @property
    def own_templates(self) -> Path:
        """Return the absolute folder of the user's own form templates."""
        return (self.settings.templates or self.home / "templates").absolute()

    @property
    def inbox(self) -> Path:
        """Return the absolute watched folder."""
        return (self.settings.inbox or self.home / "inbox").absolute()

    @property
    def scan_roots(self) -> tuple[Path, ...]:
        """Return the folders under which a job may name files, links resolved; the inbox is one."""
        named, _ = parse_roots(self.settings.scan_roots)
        return tuple(folder.resolve() for folder in [self.inbox, *named])

    @property
    def file_roots(self) -> tuple[Path, ...]:
        """Return the folders that files are opened under: those of jobs, the inbox as it is named, and the copies."""
        return (*self.scan_roots, self.inbox, self.copies_folder)

    @property
    def scan_buckets(self) -> tuple[BucketRoot, ...]:
        """Return the places in object storage under which a job may name objects."""
        return tuple(parse_roots(self.settings.scan_roots)[1])

    @property
    def copies_folder(self) -> Path:
        """Return where copies of scans from object storage lie while they are read."""
        return self.home / "tmp"

    @property
    def logs_folder(self) -> Path:
        """Return where the parts of one-machine mode leave their logs."""
        return self.home / "logs"

    @property
    def database_url(self) -> str:
        """Return the database: the one that is set, else SQLite under home."""
        return self.settings.database_url or f"sqlite:///{self.home / 'icr.db'}"

    @property
    def job_key(self) -> str | None:
        """Return the key that signs job messages, None where jobs need no signature."""
        key = self.settings.job_key
        return key.get_secret_value() if key else None

    @property
    def job_keys(self) -> list[str]:
        """Return the keys that job messages may be signed with, the present one first; none where none need be."""
        keys = (self.settings.job_key, self.settings.job_key_before)
        return [key.get_secret_value() for key in keys if key] if self.settings.job_key else []

    @property
    def redis_url(self) -> str:
        """Return the broker as redis-py wants it: the one that is set, else the private Redis of home."""
        url = self.settings.broker_url or f"unix://{socket_path(self.home)}"
        if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:  # kombu would take any certificate
            url += ("&" if "?" in url else "?") + "ssl_cert_reqs=required"
        return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")

    @property
    def broker_url(self) -> str:
        """Return the broker as Celery wants it: a Unix socket has a scheme of its own there."""
        parts = urlsplit(self.redis_url)
        if parts.scheme != "unix":
            return self.redis_url
        return f"redis+socket://{parts.path}?{parts.query.replace('db=', 'virtual_host=') or 'virtual_host=0'}"

    @property
    def accept_policy(self) -> AcceptPolicy:
        """Return what a field needs to be accepted."""
        from worker.decision.fields import AcceptPolicy

        return AcceptPolicy()

    @property
    def check_policy(self) -> CheckPolicy:
        """Return what a check read today must hold to."""
        from worker.checks.locales import LOCALES
        from worker.checks.policy import CheckPolicy

        return CheckPolicy(
            locale=LOCALES[self.settings.check_locale],
            today=dt.date.today(),
            months_back=self.settings.check_months_back,
            months_ahead=self.settings.check_months_ahead,
            max_amount=self.settings.check_max_amount,
        )


class OncePerProcess(Generic[T]):
    """Makes a value when it is first called, and returns that one; a forked child makes its own."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: tuple[int, T] | None = None

    def __call__(self) -> T:
        """Return the value of this process."""
        if self._made is None or self._made[0] != os.getpid():
            self._made = os.getpid(), self._make()
        return self._made[1]


class FreshTemplates:
    """The form templates of this process, loaded again when a file of the user's own folder has changed.

    While a changed file is wrong, those that were loaded before go on, and the log says what is wrong.
    """

    def __init__(self, folder: Callable[[], Path], *, must_exist: bool) -> None:
        self._folder = folder
        self._must_exist = must_exist
        self._made: tuple[tuple[object, ...], dict[str, FormTemplate]] | None = None

    def __call__(self) -> dict[str, FormTemplate]:
        """Return the shipped templates and the user's own, by name."""
        from worker.forms.templates import load_templates

        folder = self._folder()
        stamp = (os.getpid(), *_stamp_of(folder))
        if self._made is not None and self._made[0] == stamp:
            return self._made[1]
        try:
            loaded = load_templates(folder if self._must_exist or folder.is_dir() else None)
        except InvalidTemplateError as error:
            if self._made is None:
                raise
            import structlog

            structlog.get_logger(__name__).warning("the templates are kept as they were", reason=str(error))
            loaded = self._made[1]
        self._made = stamp, loaded
        return loaded


def _stamp_of(folder: Path) -> list[tuple[str, int, int]]:
    """Return what changes when a file of a folder does."""
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # it is being replaced
            status = path.stat()
            found.append((path.name, status.st_mtime_ns, status.st_size))
    return found


def build_runtime(settings: Settings | None = None) -> Runtime:
    """Build the runtime of this process, from the settings in the environment unless others are given.

    Raises
    ------
    SettingsError
        If a setting is malformed or two contradict; names each.
    """
    settings = settings or read_settings()
    runtime = Runtime(
        settings=settings,
        engine=OncePerProcess(lambda: _open_database(runtime)),
        redis_client=OncePerProcess(lambda: connect_redis(runtime.redis_url)),
        places=OncePerProcess(lambda: Places(Folders(runtime.scan_roots), _open_storage(runtime))),
        limits=OncePerProcess(lambda: read_limits(settings)),
        templates=FreshTemplates(lambda: runtime.own_templates, must_exist=settings.templates is not None),
        recognizers=OncePerProcess(lambda: _load_recognizers(settings)),
    )
    return runtime


def read_settings() -> Settings:
    """Read every ``ICR_*`` setting from the environment, or else from a file of its name that holds a secret.

    Such files lie in ``/run/secrets`` (Docker, Podman) or where systemd's LoadCredential= puts them.

    Raises
    ------
    SettingsError
        If one is malformed or two contradict; names each.
    """
    try:
        settings = Settings(_secrets_dir=_secret_folders())  # type: ignore[call-arg]
    except pydantic.ValidationError as error:
        problems = "; ".join(f"ICR_{'_'.join(map(str, m.path)).upper()} {m.words}" for m in list_mistakes(error))
        raise SettingsError(problems) from error
    parse_roots(settings.scan_roots)
    if settings.broker_url and not settings.broker_url.startswith(_REDIS_SCHEMES):
        raise SettingsError(f"ICR_BROKER_URL must begin with {', '.join(_REDIS_SCHEMES)}")
    _check_url("ICR_BROKER_URL", settings.broker_url)
    _check_url("ICR_DATABASE_URL", settings.database_url)
    if settings.visibility_timeout_s < settings.job_time_limit_s + 20:
        raise SettingsError(
            "ICR_VISIBILITY_TIMEOUT_S must be at least 20 s more than ICR_JOB_TIME_LIMIT_S: "
            "a scan still being read would be handed out a second time"
        )
    return settings


def _secret_folders() -> list[Path] | None:
    folders = [SECRETS, Path(os.environ.get("CREDENTIALS_DIRECTORY") or SECRETS)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()] or None


def _check_url(name: str, url: str | None) -> None:
    """Refuse a URL that libraries take apart at the wrong place: their errors would quote a part of the password."""
    scheme, found, rest = (url or "").partition("://")
    authority = re.split("[/?#]", rest)[0]
    is_split = "@" in rest[len(authority) :] and ":" in authority
    if re.search(r"\s", rest) or is_split or (scheme.startswith("postgresql") and authority.count("@") > 1):
        raise SettingsError(
            f"{name} is malformed: in a user, a password and a query write @ as %40, / as %2F, : as %3A, ? as %3F, "
            "# as %23, % as %25 and a space as %20"
        )
    try:
        _ = urlsplit(url or "").port
    except ValueError:
        raise SettingsError(f"{name} is malformed: its port is no number, or its host no name") from None
    if url and not found:
        raise SettingsError(f"{name} is malformed: it has no ://")


def connect_redis(url: str, timeout_s: float = SOCKET_TIMEOUT_S) -> redis.Redis:
    """Return a new client of the broker; it connects when first used."""
    import redis  # a quarter of a second, which a command that needs no Redis is spared
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        decode_responses=True,
        encoding_errors="replace",  # whoever may write to Redis may write any bytes, and ends no loop with them
        client_name="icr",
    )
    return client


def read_limits(settings: Settings) -> RasterLimits:
    """Return what a scan may ask of the machine; this loads the decoders."""
    from worker.rasterizer import RasterLimits

    return RasterLimits(
        max_pages=settings.max_pages,
        max_megapixels=settings.max_megapixels,
        max_file_mb=settings.max_file_mb,
        pdf_dpi=settings.pdf_dpi,
        page_timeout_s=settings.page_timeout_s,
    )


def _open_database(runtime: Runtime) -> Engine:
    from worker.store.engine import make_engine

    return make_engine(runtime.database_url)


def _open_storage(runtime: Runtime) -> Place | None:
    buckets = runtime.scan_buckets
    return Resting(ObjectStorage(buckets, runtime.copies_folder, runtime.limits()), REST_S) if buckets else None


def _load_recognizers(settings: Settings) -> Recognizers:
    from worker.models.runtime import load_recognizers

    return load_recognizers(calibration=settings.calibration, max_substitution_rate=settings.max_substitution_rate)
