"""What the commands of the laboratory share: their options, the folder of handwriting sets, and the extra they need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from worker.bootstrap import read_settings
from worker.errors import IcrError, SettingsError

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder of handwriting sets; by default ICR_DATA_DIR.",
)
models_option = click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Where the model goes; by default the shipped one's place.",
)


@contextmanager
def train_extra() -> Iterator[None]:
    """Import what the extra ``train`` brings, within.

    Raises
    ------
    IcrError
        A package is missing; says how to get it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"this command needs the extra 'train': pip install '.[train]' (missing: {error.name})"
        raise IcrError(message) from error


def need_data_dir(given: Path | None) -> Path:
    """Return the folder of handwriting sets: the one that is given, else that of ``ICR_DATA_DIR``.

    Raises
    ------
    SettingsError
        Nobody names one.
    """
    found = given or read_settings().data_dir
    if found is None:
        raise SettingsError("where are the handwriting sets? Give --data-dir or set ICR_DATA_DIR")
    return found


def need_fields(given: Path | None) -> Path:
    """Return the folder of handwriting sets, labelled fields among them.

    Raises
    ------
    SettingsError
        Nobody names one, or it holds no folder ``fields``.
    """
    found = need_data_dir(given)
    if not (found / "fields").is_dir():
        raise SettingsError(f"{found} holds no folder 'fields': give --data-dir or set ICR_DATA_DIR")
    return found
