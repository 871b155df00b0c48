"""How every command says a line: without passwords, and without anything that a terminal would obey."""

from __future__ import annotations

import click

from worker.system.harmless import make_harmless
from worker.telemetry.secrets import mask_secrets


def say(line: str, *, err: bool = False) -> None:
    """Write one line to standard output, or to standard error."""
    click.echo(make_harmless(mask_secrets(line)), err=err)


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, as in ``1 scan`` and ``2 scans``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
