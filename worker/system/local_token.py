"""The secret in the address that one-machine mode prints: who has it is the person at this machine."""

from __future__ import annotations

import getpass
import ipaddress
import os
import secrets
import time
from pathlib import Path

from worker.errors import SettingsError
from worker.system.private_files import make_private_folder

FILE = "station-token"
TOKEN_BYTES = 24
"""192 bits: nobody guesses it, and it still fits on one line of a terminal."""

_TRIES = 50
_PAUSE_S = 0.02


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def login_name() -> str:
    """Return the name of the person at this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "local"


def read_local_token(home: Path) -> str:
    """Return the token of a home; the first call makes it, in a file that only its owner reads.

    Raises
    ------
    SettingsError
        The file cannot be written or read.
    """
    path = home / FILE
    try:
        make_private_folder(home)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(TOKEN_BYTES))
        except FileExistsError:
            pass
        for _ in range(_TRIES):  # another process may have made the file and not written it yet
            if token := path.read_text("ascii").strip():
                return token
            time.sleep(_PAUSE_S)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be written or read: {error}") from error
    raise SettingsError(f"{path} is empty: remove it, and the next start makes a new one")


def local_address(home: Path, host: str, port: int, scheme: str = "http") -> str:
    """Return the address to open in a browser of this machine, with the token in it."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}/enter?token={read_local_token(home)}"
