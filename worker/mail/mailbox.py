"""One connection to a mailbox, over imap-tools: what lies in its folder, the bytes of a message, and moves."""

from __future__ import annotations

import contextlib
import imaplib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from worker.errors import MailUnavailableError, SettingsError
from worker.settings import Settings
from worker.system.local_token import is_loopback

TIMEOUT_S = 30.0
"""A server that is silent for longer is taken as gone."""

_STEP_S = 1.0
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
EXTRA_IS_MISSING = "ICR_MAIL_HOST needs the extra 'mail', which is not installed: pip install '.[mail]'"


class Mailbox:
    """A mailbox that we are signed in to, at the folder that is watched; the folders of the outcomes are there.

    Every method raises ``MailUnavailableError`` where the server does not answer or refuses: connect anew, then.
    """

    def __init__(self, settings: Settings) -> None:
        check_settings(settings)
        self._settings = settings
        with _translated():
            self._box = _connect(settings)
        try:
            with _translated():
                self._sign_in()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Sign out, if the server still listens."""
        with contextlib.suppress(Exception):  # whatever a broken connection raises
            self._box.client.logout()

    def list_messages(self) -> list[str]:
        """Return the UIDs of the messages in the folder, the oldest first."""
        with _translated():
            return sorted(self._box.uids("UNDELETED"), key=int)

    def size_of(self, uid: str) -> int | None:
        """Return how many bytes a message has; None where it is gone."""
        with _translated():
            found = _SIZE.search(b" ".join(_flat(self._box.client.uid("FETCH", uid, "(RFC822.SIZE)"))))
            return int(found[1]) if found else None

    def fetch(self, uid: str, *, most: int) -> bytes | None:
        """Return the first ``most`` bytes of a message, which stays unread; None where it is gone."""
        with _translated():
            _, answer = self._box.client.uid("FETCH", uid, f"(BODY.PEEK[]<0.{most}>)")
            return next((part[1] for part in answer if isinstance(part, tuple)), None)

    def move(self, uid: str, folder: str) -> None:
        """Move a message to another folder."""
        with _translated():
            self._box.move(uid, folder)

    def leave_note(self, folder: str, note: bytes) -> None:
        """Put a message of our own into a folder."""
        with _translated():
            self._box.append(note, folder)

    def wait(self, wait_s: float, stop: threading.Event, beat: Callable[[], None]) -> None:
        """Wait until the server tells of something new, at most so long or until told to stop; ``beat`` meanwhile."""
        steps = max(1, round(wait_s / _STEP_S))
        with _translated():
            if "IDLE" not in self._box.client.capabilities:
                for _ in range(steps):
                    beat()
                    if stop.wait(_STEP_S):
                        return
                self._box.client.noop()
                return
            with self._box.idle as idle:
                for _ in range(steps):
                    beat()
                    if stop.is_set() or any(b"EXISTS" in line for line in idle.poll(timeout=_STEP_S)):
                        return

    def _sign_in(self) -> None:
        password = self._settings.mail_password
        assert self._settings.mail_user and password
        self._box.login(self._settings.mail_user, password.get_secret_value(), initial_folder=None)
        _, able = self._box.client.capability()  # many servers tell what they can do, as IDLE and MOVE, after that only
        self._box.client.capabilities = tuple(able[-1].decode("ascii", "replace").upper().split())
        for folder in (self._settings.mail_done, self._settings.mail_failed):
            if not self._box.folder.exists(folder):
                self._box.folder.create(folder)
        self._box.folder.set(self._settings.mail_folder)


def check_settings(settings: Settings) -> None:
    """Check that the settings name a mailbox, and that its password would not cross a network in the open.

    Raises
    ------
    SettingsError
        They do not, or the extra ``mail`` is not installed.
    """
    if not settings.mail_host:
        raise SettingsError("set ICR_MAIL_HOST, ICR_MAIL_USER and ICR_MAIL_PASSWORD to watch a mailbox")
    if not settings.mail_user or settings.mail_password is None:
        raise SettingsError("ICR_MAIL_HOST needs ICR_MAIL_USER and ICR_MAIL_PASSWORD")
    if settings.mail_security == "none" and not is_loopback(settings.mail_host):
        raise SettingsError("ICR_MAIL_SECURITY=none is for a server on this machine: a network could read the password")
    if len({settings.mail_folder, settings.mail_done, settings.mail_failed}) < 3:
        raise SettingsError("ICR_MAIL_FOLDER, ICR_MAIL_DONE and ICR_MAIL_FAILED must be three folders")
    try:
        import imap_tools  # noqa: F401
    except ImportError as error:
        raise SettingsError(EXTRA_IS_MISSING) from error


def _connect(settings: Settings) -> Any:
    from imap_tools import MailBox, MailBoxStartTls, MailBoxUnencrypted

    assert settings.mail_host
    if settings.mail_security == "none":
        return MailBoxUnencrypted(settings.mail_host, settings.mail_port, timeout=TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=str(settings.mail_ca) if settings.mail_ca else None)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"ICR_MAIL_CA: {error.strerror or error}") from error
    kind = MailBox if settings.mail_security == "tls" else MailBoxStartTls
    return kind(settings.mail_host, settings.mail_port, timeout=TIMEOUT_S, ssl_context=context)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what a server and a connection may do into one error; a password is in none of their texts."""
    from imap_tools.errors import ImapToolsError, MailboxLoginError

    try:
        yield
    except MailboxLoginError as error:
        raise MailUnavailableError("the mail server does not take ICR_MAIL_USER and ICR_MAIL_PASSWORD") from error
    except ssl.SSLCertVerificationError as error:
        raise MailUnavailableError(f"the mail server's certificate is not trusted: {error.verify_message}") from error
    except (OSError, imaplib.IMAP4.error, ImapToolsError, ValueError, IndexError) as error:
        told = " ".join(str(error).split())[:200] or type(error).__name__
        raise MailUnavailableError(f"the mail server does not answer as it should: {told}") from error


def _flat(answer: Any) -> Iterator[bytes]:
    for part in answer[1]:
        yield from (part if isinstance(part, tuple) else (part,)) if part else ()
