"""The command ``icr``: names its subcommands and loads the one that is asked for."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click

from worker.errors import IcrError, InvalidTemplateError

COMMANDS = {
    "read": "worker.commands.read:read",
    "classify": "worker.commands.read:classify",
    "template": "worker.commands.template:template",
    "up": "worker.commands.run:up",
    "worker": "worker.commands.run:worker",
    "watch": "worker.commands.run:watch",
    "migrate": "worker.commands.run:migrate",
    "health": "worker.commands.run:health",
    "metrics": "worker.commands.run:metrics",
    "serve": "worker.commands.serve:serve",
    "separator": "worker.commands.separator:separator",
    "mail": "worker.commands.mail:mail",
    "users": "worker.commands.users:users",
    "tokens": "worker.commands.users:tokens",
    "webhooks": "worker.commands.webhooks:webhooks",
    "submit": "worker.commands.jobs:submit",
    "status": "worker.commands.jobs:status",
    "retry": "worker.commands.jobs:retry",
    "reread": "worker.commands.jobs:reread",
    "schema": "worker.commands.jobs:schema",
    "demo": "worker.commands.demo:demo",
    "doctor": "worker.commands.doctor:doctor",
    "results": "worker.commands.results:results",
    "low-confidence": "worker.commands.results:low_confidence",
    "export": "worker.commands.export:export",
    "correct": "worker.commands.results:correct",
    "settle": "worker.commands.results:settle",
    "purge": "worker.commands.results:purge",
    "backup": "worker.commands.backup:backup",
    "restore": "worker.commands.backup:restore",
    "move-database": "worker.commands.backup:move_database",
    "train": "worker.commands.lab:train",
    "evaluate": "worker.commands.lab:evaluate",
    "train-fields": "worker.commands.readers_lab:train_fields",
    "train-general-reader": "worker.commands.readers_lab:train_general_reader",
    "train-readers": "worker.commands.readers_lab:train_readers",
    "train-alterations": "worker.commands.readers_lab:train_alterations",
    "evaluate-fields": "worker.commands.fields_lab:evaluate_fields",
    "calibrate": "worker.commands.fields_lab:calibrate",
    "calibrate-pages": "worker.commands.fields_lab:calibrate_pages",
}


NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
"""What a full disk says of a file that is written, standard output among them."""

BRIEF = {"submit", "status", "retry", "reread", "schema", "results", "low-confidence", "correct", "settle", "health"}
"""Commands that answer and end."""
FEW_COLLECTIONS = 200_000
"""Objects between two collections of garbage: more than a brief command makes, most of which are its modules."""


class LazyGroup(click.Group):
    """A group whose commands are imported when asked for, so that ``icr results`` never loads a model."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in BRIEF:
            _save_time()
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def _save_time() -> None:
    """Let a process that ends soon not look for garbage, neither while it imports nor once more at its end.

    OpenTelemetry is marked as missing: redis-py would load it for metrics, which nobody asks of it here.
    """
    gc.set_threshold(FEW_COLLECTIONS)
    atexit.register(gc.freeze)
    sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]  # as the import system marks what is missing


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="icr-worker")
def icr() -> None:
    """Read handwritten numbers off scanned paper."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``icr``; an error of ours is told on stderr, in one line for each mistake, and the exit code is 1."""
    try:
        icr(arguments, prog_name="icr")
    except IcrError as error:
        from worker.commands.saying import say

        mistakes = error.problems if isinstance(error, InvalidTemplateError) else [error]
        for number, each in enumerate(mistakes):
            say(f"{each}" if number else f"icr: {each}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else what is left there fails again at the end
        place = f" {error.filename}" if error.filename else ""
        click.echo(f"icr: cannot write{place}: {error.strerror}", err=True)
        sys.exit(1)
