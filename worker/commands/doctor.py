"""``icr doctor``: check everything that a worker needs, and say what to do about what is missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from worker.bootstrap import Runtime, build_runtime, connect_redis, read_settings
from worker.errors import IcrError, InvalidJobError, StorageUnavailableError
from worker.inbox.folder import check_working
from worker.sources.buckets import BucketRoot
from worker.system.harmless import make_harmless
from worker.system.private_files import is_open_to_others
from worker.system.private_redis import redis_server_binary, socket_path
from worker.telemetry.secrets import mask_secrets

_LEAST_FREE_BYTES = 2**30
_REDIS_TIMEOUT_S = 5.0

Check = Callable[[], str]
"""Returns what it found; raises ``FindingError`` or another error of ours that says what to do."""


class FindingError(IcrError):
    """Something that keeps the system from working, and what to do about it."""


@click.command()
def doctor() -> None:
    """Check this machine: one line each, ok or what to do; exit code 1 if anything is bad."""
    bad = 0
    for name, check in _checks():
        well, found = _run_check(check)
        bad += not well
        mark = click.style("ok ", fg="green") if well else click.style("bad", fg="red")
        click.echo(f"{mark}  {name:<10}  {make_harmless(mask_secrets(found))}")
    if bad:
        raise SystemExit(1)


def _checks() -> Iterator[tuple[str, Check]]:
    yield "settings", check_settings
    if not _run_check(check_settings)[0]:
        return
    runtime = build_runtime()
    yield "poppler", check_poppler
    yield "models", check_models
    if runtime.settings.calibration is not None:
        yield "calibration", partial(check_calibration_file, runtime.settings.calibration)
    yield "templates", partial(check_templates, runtime)
    yield "redis", partial(check_redis, runtime)
    yield "database", partial(check_database, runtime)
    from worker.telemetry.tracing import is_asked_for

    if is_asked_for():
        yield "traces", check_tracing
    if runtime.settings.oidc_issuer is not None:
        yield "sign-in", partial(check_sign_in, runtime)
    if runtime.settings.separators != "off":
        yield "barcodes", check_barcodes
    if runtime.settings.mail_host is not None:
        yield "mailbox", partial(check_mailbox, runtime)
    yield "folder", partial(check_home, runtime)
    yield "folder", partial(check_folder, runtime.inbox)
    for folder in runtime.scan_roots:
        if folder != runtime.inbox.resolve():
            yield "folder", partial(check_readable, folder)
    for bucket in runtime.scan_buckets:
        yield "bucket", partial(check_bucket, runtime, bucket)


def _run_check(check: Check) -> tuple[bool, str]:
    try:
        return True, check()
    except (IcrError, OSError) as error:
        return False, " ".join(str(error).split())


def check_settings() -> str:
    """Find settings that are malformed, contradict each other, or do not exist."""
    known = type(read_settings()).model_fields
    named = {name for name in os.environ if name.upper().startswith("ICR_")}
    unknown = sorted(name for name in named if name.upper().removeprefix("ICR_").lower() not in known)
    if unknown:
        raise FindingError(f"no such setting: {', '.join(unknown)} (docs/reference/configuration.md lists them)")
    return f"{len(named)} set in the environment" if named else "all at their defaults"


def check_poppler() -> str:
    """Find the programs that draw PDF pages, and their version."""
    from worker.rasterizer import find_poppler

    if problem := find_poppler():
        raise FindingError(problem)
    program = shutil.which("pdftoppm") or "pdftoppm"
    answer = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    return (answer.stderr or answer.stdout).split("\n")[0]


def check_models() -> str:
    """Compare the checksum of every model with its card."""
    from worker.models.runtime import verify_models

    models = ", ".join(f"{card.name} {card.version}" for card in verify_models())
    return f"{models}: checksums agree with their cards"


def check_calibration_file(path: Path) -> str:
    """Read the calibration of ``ICR_CALIBRATION``."""
    from worker.models.runtime import check_calibration

    check_calibration(path)
    return f"{path} is one of this version"


def check_templates(runtime: Runtime) -> str:
    """Read every form template."""
    return ", ".join(sorted(runtime.templates()))


def check_redis(runtime: Runtime) -> str:
    """Ask Redis for an answer and for the settings without which it loses or drops jobs."""
    if runtime.settings.broker_url is None and not socket_path(runtime.home).exists():
        return f"a private one starts with 'icr up', by {redis_server_binary()}"
    import redis

    try:
        with connect_redis(runtime.redis_url, _REDIS_TIMEOUT_S) as client:
            about: dict[str, Any] = client.info()
    except redis.RedisError as error:
        told = f"{runtime.redis_url} does not answer ({error}): start it, or mend ICR_BROKER_URL"
        raise FindingError(told) from error
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        raise FindingError("Redis may drop jobs when its memory is full: set maxmemory-policy noeviction")
    if not about.get("aof_enabled", 1):
        raise FindingError("Redis forgets the queue when it restarts: set appendonly yes")
    return f"version {about['redis_version']} answers, keeps its log, evicts nothing"


def check_database(runtime: Runtime) -> str:
    """Ask the database for an answer and compare its revision with this program's."""
    from worker.store.engine import database_revision, describe, require_database

    engine = runtime.engine()
    if runtime.settings.database_url is None and database_revision(engine) is None:
        return f"{describe(engine)} is made by the first 'icr up'"
    require_database(engine)
    return f"{describe(engine)} answers, at revision {database_revision(engine)}"


def check_home(runtime: Runtime) -> str:
    """Look at the home as at any folder, and at who may read what lies there, as readings do."""
    home = runtime.home
    told = check_folder(home)
    if home.exists() and is_open_to_others(home):
        raise FindingError(f"every user of this machine may look into {home}: chmod o-rwx {home}")
    if runtime.settings.home.is_absolute():
        return told
    return f"{told}; ICR_HOME is relative, so other folders have another one"


def check_folder(folder: Path) -> str:
    """Write a file where the worker will, and look at the space that is left."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    if not there.is_dir():
        raise FindingError(f"{there} is not a folder")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        told = f"{there} cannot be written ({error.strerror}): give it to this user, or set another"
        raise FindingError(told) from error
    check_working(folder)
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE_BYTES:
        least = _LEAST_FREE_BYTES / 2**30
        raise FindingError(f"{folder} has {free / 2**20:.0f} MB left: free at least {least:g} GB")
    made = "" if folder == there else ", will be made"
    return f"{folder}{made}, writable, {free / 2**30:.0f} GB free"


def check_readable(folder: Path) -> str:
    """Look into a folder under which jobs may name files."""
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
        raise FindingError(f"{folder} of ICR_SCAN_ROOTS is no folder that can be read")
    return f"{folder}, readable"


def check_tracing() -> str:
    """Find the exporter that sends traces; the collector itself is not asked."""
    from worker.telemetry.tracing import find_obstacle

    if obstacle := find_obstacle():
        raise FindingError(obstacle)
    return "OTEL_EXPORTER_OTLP_ENDPOINT is set, the exporter is installed"


def check_sign_in(runtime: Runtime) -> str:
    """Ask the OpenID Connect provider what it says of itself."""
    from worker.api.openid import make_provider

    provider = make_provider(runtime.settings)
    assert provider is not None
    provider.metadata()
    return f"{provider.issuer} answers"


def check_barcodes() -> str:
    """Find the reader of codes without which separator sheets would be taken for pages."""
    from worker.separators import require_barcodes

    require_barcodes()
    return "codes of separator sheets can be read"


def check_mailbox(runtime: Runtime) -> str:
    """Sign in to the mailbox, find or make the folders of its outcomes, and count the messages that wait."""
    from worker.mail.mailbox import Mailbox

    settings = runtime.settings
    with contextlib.closing(Mailbox(settings)) as mailbox:
        waiting = len(mailbox.list_messages())
    return f"{settings.mail_host} lets {settings.mail_user} in; {waiting} messages wait in {settings.mail_folder}"


def check_bucket(runtime: Runtime, root: BucketRoot) -> str:
    """Ask the object storage of ``ICR_SCAN_ROOTS`` for an object that does not exist."""
    try:
        with runtime.places().fetch(f"{str(root).rstrip('/')}/icr-doctor"):
            return f"{root} answers"
    except InvalidJobError as error:
        return f"{root} answers: {error}"
    except StorageUnavailableError as error:
        raise FindingError(f"{root}: {error} (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and the like)") from error
