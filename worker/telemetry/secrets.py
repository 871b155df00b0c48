"""Passwords in texts for people and logs: masked."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/\s:@]*):(?P<secret>\S*)@", re.IGNORECASE)
_PASSWORD_PARAMETER = re.compile(r"(?P<name>password=)[^&\s'\"]+", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Replace the password of every URL in a text by ``***``."""
    return _PASSWORD_PARAMETER.sub(r"\g<name>***", _CREDENTIALS.sub(r"\g<scheme>\g<user>:***@", text))
