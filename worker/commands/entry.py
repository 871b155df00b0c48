"""How a command gets its runtime: from its caller, as in tests, or from the settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import click

from worker.bootstrap import Runtime, build_runtime

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
