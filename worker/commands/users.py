"""``icr users`` and ``icr tokens``: who may sign in to the station, and what programs may do by HTTP."""

from __future__ import annotations

import sys
from datetime import timedelta

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime, ready_engine
from worker.commands.saying import say

ROLES = ("keyer", "supervisor", "admin")
SCOPES = ("scans:write", "results:read", "fields:review", "admin")

_ROLE = click.option(
    "--role",
    type=click.Choice(ROLES),
    help="A keyer decides fields; a supervisor also reads results and sends scans; an admin may do all.",
)
_FROM_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def users() -> None:
    """Say who may sign in to the station."""


@users.command("add")
@click.argument("name")
@_ROLE
@_FROM_STDIN
@pass_runtime
def add(runtime: Runtime, name: str, role: str | None, password_stdin: bool) -> None:
    """Add a user, a keyer unless --role says otherwise; asks for the password."""
    from worker.api.passwords import hash_password
    from worker.store.users import add_user

    engine = ready_engine(runtime)
    add_user(engine, name, role or "keyer", hash_password(_ask_password(password_stdin)))
    say(f"{name} may sign in as {role or 'keyer'}")


@users.command("list")
@pass_runtime
def list_them(runtime: Runtime) -> None:
    """Show all users."""
    from worker.store.users import list_users

    for user in list_users(ready_engine(runtime)):
        way = "password" if user.password_hash else user.issuer or "this machine only"
        state = "disabled" if user.disabled_at else way
        say(f"{user.name}  {user.role}  {state}")


@users.command("change")
@click.argument("name")
@_ROLE
@click.option("--password", "new_password", is_flag=True, help="Ask for a new password.")
@_FROM_STDIN
@pass_runtime
def change(runtime: Runtime, name: str, role: str | None, new_password: bool, password_stdin: bool) -> None:
    """Change a user's role or password, and let them in again if they were disabled; their sessions end."""
    from worker.api.passwords import hash_password
    from worker.store.users import change_user

    engine, changes = ready_engine(runtime), dict[str, object](disabled_at=None)
    if role:
        changes["role"] = role
    if new_password or password_stdin:
        changes["password_hash"] = hash_password(_ask_password(password_stdin))
    change_user(engine, name, **changes)
    say(f"{name} is changed")


@users.command("disable")
@click.argument("name")
@pass_runtime
def disable(runtime: Runtime, name: str) -> None:
    """Let a user in no more, by password, session or token; what they decided stays theirs."""
    from worker.store.users import disable_user

    disable_user(ready_engine(runtime), name)
    say(f"{name} is let in no more")


@click.group()
def tokens() -> None:
    """Give programs tokens for the HTTP API."""


@tokens.command("add")
@click.argument("name")
@click.option("--user", help="Whose token it is.  [default: your login name, added as admin if there is none]")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, required=True, help="What it may do.")
@click.option("--days", type=click.IntRange(1), help="How long it holds; for ever unless given.")
@pass_runtime
def add_one(runtime: Runtime, name: str, user: str | None, scopes: tuple[str, ...], days: int | None) -> None:
    """Print a new token, which is shown this once."""
    from worker.store.users import add_token, ensure_user
    from worker.system.local_token import login_name

    engine = ready_engine(runtime)
    if user is None:
        user = ensure_user(engine, login_name(), "admin").name
    life = timedelta(days=days) if days else None
    say(add_token(engine, user, name, scopes, life=life))


@tokens.command("list")
@pass_runtime
def list_tokens(runtime: Runtime) -> None:
    """Show all tokens, without what would let anybody in."""
    from worker.store.users import list_tokens as stored

    for row in stored(ready_engine(runtime)):
        ends = "revoked" if row.revoked_at else f"until {row.expires_at:%Y-%m-%d}" if row.expires_at else "for ever"
        say(f"{row.id}  {row.name}  {row.user}  {', '.join(row.scopes)}  {ends}")


@tokens.command("revoke")
@click.argument("token_id", type=int)
@pass_runtime
def revoke(runtime: Runtime, token_id: int) -> None:
    """Make a token worthless, by its number in 'icr tokens list'."""
    from worker.store.users import revoke_token

    revoke_token(ready_engine(runtime), token_id)
    say(f"token {token_id} lets nobody in any more")


def _ask_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return password
