"""What commands share: how one gets its runtime and its database, and the options that choose pages."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from worker.bootstrap import Runtime, build_runtime
from worker.errors import DatabaseUnavailableError

if TYPE_CHECKING:  # SQLAlchemy loads when a command runs, so that `icr --help` does not wait for it
    from sqlalchemy import Engine

    from worker.store.results import Selection

HOME_IS_RELATIVE = "ICR_HOME counts from the folder you stand in: stand elsewhere, or set it to a whole path"

P = ParamSpec("P")
R = TypeVar("R")


def pass_runtime(command: Callable[Concatenate[Runtime, P], R]) -> Callable[P, R]:
    """Call a command with the runtime of the process first: the ``obj`` of click's context, built if there is none.

    Raises
    ------
    SettingsError
        If a setting is malformed or two contradict; names each.
    """

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        runtime = context.find_object(Runtime)
        if runtime is None:
            runtime = context.obj = build_runtime()
        return command(runtime, *args, **kwargs)

    return call


def ready_engine(runtime: Runtime) -> Engine:
    """Return the database's engine; a database that is not there or not up to date is an error that says what to do."""
    from worker.store.engine import require_database

    try:
        require_database(runtime.engine())
    except DatabaseUnavailableError as error:
        if is_elsewhere(runtime):
            raise DatabaseUnavailableError(f"{error}; {HOME_IS_RELATIVE}") from error
        raise
    return runtime.engine()


def is_elsewhere(runtime: Runtime) -> bool:
    """Tell whether the home is looked for below a folder in which no ``icr up`` was started."""
    return not runtime.settings.home.is_absolute() and not runtime.home.exists() and not runtime.settings.database_url


def select_pages(command: click.decorators.FC) -> click.decorators.FC:
    """Add the options that choose pages."""
    for name, what in (
        ("--template", "Only pages of this form template."),
        ("--reference", "Only scans sent with this reference."),
        ("--job", "Only the scan of this job id."),
    ):
        command = click.option(name, help=what)(command)
    return command


def choose_pages(job: str | None, reference: str | None, template: str | None) -> Selection:
    """Return the selection that those options mean, with ids and references as they are kept."""
    from schemas.scan_job import MAX_REFERENCE
    from worker.store.results import Selection

    return Selection(job and kept_id(job), reference and reference[:MAX_REFERENCE], template)


def kept_id(job: str) -> str:
    """Return a job's id as it is kept, whatever capitals, dashes or braces it is written with; what is no id stays.

    Of what is no id, the job keeps as much as a reference holds.
    """
    from schemas.scan_job import MAX_REFERENCE

    try:
        return str(uuid.UUID(job))
    except ValueError:
        return job[:MAX_REFERENCE]
