"""``icr serve``: the station and the HTTP API."""

from __future__ import annotations

import sys

import click

from worker.bootstrap import Runtime, build_runtime
from worker.commands.entry import pass_runtime, ready_engine
from worker.commands.saying import say
from worker.system.local_token import FILE, is_loopback, local_address, read_local_token


@click.command()
@click.option("--host", help="The address to listen on, instead of ICR_SERVE_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port, instead of ICR_SERVE_PORT; 0: a free one.")
@pass_runtime
def serve(runtime: Runtime, host: str | None, port: int | None) -> None:
    """Serve the station's pages and the HTTP API until told to stop."""
    chosen = {"serve_host": host, "serve_port": port}
    changes = {name: value for name, value in chosen.items() if value is not None}
    runtime = build_runtime(runtime.settings.model_copy(update=changes)) if changes else runtime
    ready_engine(runtime)
    from worker.api.serving import serve_http
    from worker.telemetry.logs import configure_logging

    configure_logging(runtime.settings.log_level)
    serve_http(runtime, say=_say)


def _say(runtime: Runtime, port: int) -> None:
    host, scheme = runtime.settings.serve_host, "https" if runtime.settings.serve_certificate else "http"
    if is_loopback(host) and sys.stderr.isatty():
        say(f"station at {local_address(runtime.home, host, port, scheme)}", err=True)
        return
    if is_loopback(host):  # into a log: what lets one in is not written there
        read_local_token(runtime.home)
        say(f"station at {scheme}://{host}:{port}/enter?token=, and then what {runtime.home / FILE} holds", err=True)
        return
    say(f"station at {scheme}://{host}:{port}/", err=True)
    from worker.store.users import list_users

    if runtime.settings.oidc_issuer is None and not any(user.password_hash for user in list_users(runtime.engine())):
        say("icr: nobody can sign in yet: 'icr users add NAME --role admin' adds somebody", err=True)
