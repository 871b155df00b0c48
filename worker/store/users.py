"""Users, the sessions of their browsers and the tokens of their programs; what they show is kept as hashes only."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.errors import InvalidUserError
from worker.store.engine import database_now, reading, writing
from worker.store.service_tables import ApiTokenRow, SessionRow, SignInRow, UserRow

TOKEN_BYTES = 32
"""256 bits: what is so long and random needs no slow hash."""

TOKEN_PREFIX = "icr_"  # noqa: S105  # by it, searches for leaked secrets know a token

MOST_NAME = 200


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One user as the database knows them."""

    id: int
    name: str
    role: str
    password_hash: str | None
    disabled_at: datetime | None
    issuer: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose session or token it is; ``scopes`` is None for a session, which may do all that its user may."""

    name: str
    role: str
    scopes: frozenset[str] | None = None


def add_user(engine: Engine, name: str, role: str, password_hash: str | None) -> None:
    """Add a user.

    Raises
    ------
    InvalidUserError
        The name is taken or empty.
    """
    _check_name(name)
    with writing(engine) as connection:
        if not _insert(connection, name, role, password_hash):
            raise InvalidUserError(f"there is a user {name!r} already: 'icr users list' shows them")


def ensure_user(engine: Engine, name: str, role: str) -> UserRecord:
    """Return the user of a name; add one without a password if there is none."""
    with writing(engine) as connection:
        _insert(connection, name, role, None)
        return _record(connection.execute(select(UserRow).where(UserRow.name == name)).one())


def ensure_openid_user(engine: Engine, *, issuer: str, subject: str, name: str, role: str) -> UserRecord:
    """Return the user whom a provider knows as ``subject``, with the role that it gives now; add one if there is none.

    A user keeps the name of the first sign-in, because decisions bear it.

    Raises
    ------
    InvalidUserError
        The name belongs to another user, or is not one.
    """
    _check_name(name)
    known = UserRow.issuer == issuer, UserRow.subject == subject
    with writing(engine) as connection:
        found = connection.execute(select(UserRow).where(*known)).one_or_none()
        if found is None and not _insert(connection, name, role, None, issuer=issuer, subject=subject):
            raise InvalidUserError("your name belongs to another user here; ask who runs this station")
        connection.execute(update(UserRow).where(*known).values(role=role))
        return _record(connection.execute(select(UserRow).where(*known)).one())


def find_user(engine: Engine, name: str) -> UserRecord | None:
    """Return the user of a name, None where there is none."""
    with reading(engine) as connection:
        row = connection.execute(select(UserRow).where(UserRow.name == name)).one_or_none()
    return None if row is None else _record(row)


def list_users(engine: Engine) -> list[UserRecord]:
    """Return all users by name."""
    with reading(engine) as connection:
        return [_record(row) for row in connection.execute(select(UserRow).order_by(UserRow.name))]


def change_user(engine: Engine, name: str, **changes: Any) -> None:
    """Change the role or the password of a user, or let them in again; their sessions end.

    Raises
    ------
    InvalidUserError
        There is no such user.
    """
    with writing(engine) as connection:
        changed = update(UserRow).where(UserRow.name == name).values(changes).returning(UserRow.id)
        user_id = connection.execute(changed).scalar_one_or_none()
        if user_id is None:
            raise InvalidUserError(f"there is no user {name!r}: 'icr users list' shows them")
        connection.execute(delete(SessionRow).where(SessionRow.user_id == user_id))


def disable_user(engine: Engine, name: str) -> None:
    """Let a user in no more, by password, session or token.

    Raises
    ------
    InvalidUserError
        There is no such user.
    """
    with reading(engine) as connection:
        now = database_now(connection)
    change_user(engine, name, disabled_at=now)


def open_sign_in(engine: Engine, *, leads_to: str, life_s: float) -> str:
    """Note that a browser is sent to a provider; return what its cookie holds. Those that are over are deleted."""
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    with writing(engine) as connection:
        now = database_now(connection)
        connection.execute(delete(SignInRow).where(SignInRow.expires_at <= now))
        row = {"secret_hash": _hash(secret), "leads_to": leads_to, "expires_at": now + timedelta(seconds=life_s)}
        connection.execute(insert(SignInRow).values(row))
    return secret


def take_sign_in(engine: Engine, secret: str) -> str | None:
    """Return where a browser wanted to go that comes back from a provider, once; None for any other."""
    with writing(engine) as connection:
        living = SignInRow.secret_hash == _hash(secret), SignInRow.expires_at > database_now(connection)
        taken = delete(SignInRow).where(*living).returning(SignInRow.leads_to)
        return connection.execute(taken).scalar_one_or_none()


def open_session(engine: Engine, user_id: int, *, life_s: float) -> str:
    """Sign a browser in; return what its cookie holds. Sessions that are over are deleted."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with writing(engine) as connection:
        now = database_now(connection)
        connection.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
        row = {"token_hash": _hash(token), "user_id": user_id, "created_at": now}
        connection.execute(insert(SessionRow).values(**row, expires_at=now + timedelta(seconds=life_s)))
    return token


def find_session(engine: Engine, token: str) -> Holder | None:
    """Return whose session it is; None where it is over, or its user is let in no more."""
    query = select(UserRow.name, UserRow.role, SessionRow.expires_at).join(UserRow, UserRow.id == SessionRow.user_id)
    with reading(engine) as connection:
        where = SessionRow.token_hash == _hash(token), UserRow.disabled_at.is_(None)
        row = connection.execute(query.where(*where)).one_or_none()
        if row is None or row.expires_at <= database_now(connection):
            return None
    return Holder(row.name, row.role)


def close_session(engine: Engine, token: str) -> None:
    """Sign a browser out."""
    with writing(engine) as connection:
        connection.execute(delete(SessionRow).where(SessionRow.token_hash == _hash(token)))


def add_token(engine: Engine, user: str, name: str, scopes: Collection[str], *, life: timedelta | None) -> str:
    """Add a token of a user and return it; it is shown this once.

    Raises
    ------
    InvalidUserError
        There is no such user.
    """
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    with writing(engine) as connection:
        user_id = connection.execute(select(UserRow.id).where(UserRow.name == user)).scalar_one_or_none()
        if user_id is None:
            raise InvalidUserError(f"there is no user {user!r}: 'icr users add' adds one")
        now = database_now(connection)
        row = {"user_id": user_id, "name": name, "token_hash": _hash(token), "scopes": sorted(scopes)}
        ends = {"created_at": now, "expires_at": now + life if life else None}
        connection.execute(insert(ApiTokenRow).values(**row, **ends))
    return token


def find_token(engine: Engine, token: str) -> Holder | None:
    """Return whose token it is; None where it is over or revoked, or its user is let in no more."""
    query = select(UserRow.name, UserRow.role, ApiTokenRow.scopes).join(UserRow, UserRow.id == ApiTokenRow.user_id)
    with reading(engine) as connection:
        living = or_(ApiTokenRow.expires_at.is_(None), ApiTokenRow.expires_at > database_now(connection))
        valid = living, ApiTokenRow.revoked_at.is_(None), UserRow.disabled_at.is_(None)
        row = connection.execute(query.where(ApiTokenRow.token_hash == _hash(token), *valid)).one_or_none()
    return None if row is None else Holder(row.name, row.role, frozenset(row.scopes))


def list_tokens(engine: Engine) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return all tokens with the names of their users, the newest last; not what would let anybody in."""
    columns = (ApiTokenRow.id, ApiTokenRow.name, UserRow.name.label("user"), ApiTokenRow.scopes)
    times = (ApiTokenRow.created_at, ApiTokenRow.expires_at, ApiTokenRow.revoked_at)
    query = select(*columns, *times).join(UserRow, UserRow.id == ApiTokenRow.user_id).order_by(ApiTokenRow.id)
    with reading(engine) as connection:
        return connection.execute(query).all()


def revoke_token(engine: Engine, token_id: int) -> None:
    """Make a token worthless.

    Raises
    ------
    InvalidUserError
        There is no such token.
    """
    with writing(engine) as connection:
        now = database_now(connection)
        revoked = update(ApiTokenRow).where(ApiTokenRow.id == token_id).values(revoked_at=now)
        if connection.execute(revoked).rowcount != 1:
            raise InvalidUserError(f"there is no token {token_id}: 'icr tokens list' shows them")


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > MOST_NAME:
        raise InvalidUserError(f"a user needs a name of at most {MOST_NAME} printable characters")


def _insert(connection: Connection, name: str, role: str, password_hash: str | None, **more: str) -> bool:
    """Insert a user unless the name is taken; return whether it was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"name": name, "role": role, "password_hash": password_hash, "created_at": database_now(connection)}
    row |= more
    added = dialect.insert(UserRow).values(row).on_conflict_do_nothing().returning(UserRow.id)
    return connection.execute(added).scalar_one_or_none() is not None


def _record(row: Any) -> UserRecord:
    return UserRecord(row.id, row.name, row.role, row.password_hash, row.disabled_at, row.issuer)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
