"""Delete the scans that are ours: those that came by a watched folder, whichever it was, or by HTTP."""

from __future__ import annotations

import os
from pathlib import Path

from worker.inbox.folder import OUTCOMES, WORKING, remove_ended
from worker.inbox.posted import POSTED, remove_posted
from worker.sources.file_uris import path_of_uri

_OURS = ("inbox", "http", "mail")
"""The sources whose files we hold; those of messages and of ``icr submit`` belong to whoever sent them."""


def remove_own_scan(uri: str, source: str) -> bool:
    """Delete a scan that has ended, and its reason file; tell whether there was a file of ours.

    The inbox is the one that the scan lies in, not the one that is set now.

    Raises
    ------
    OSError
        It may not be deleted, has not been moved to its end yet, or its inbox is away.
    """
    path = path_of_uri(uri)
    if source not in _OURS or path is None:
        return False
    found = _find_inbox(path)
    if found is None:
        raise FileNotFoundError(f"{path} lies in no inbox that is there now")
    inbox, inside = found
    was_there = os.path.lexists(path)
    if inside.parts[0] == POSTED:
        remove_posted(inbox, inside)
    else:
        remove_ended(inbox, inside)
    return was_there


def _find_inbox(path: Path) -> tuple[Path, Path] | None:
    """Return the inbox that a path lies in, and the path within it; the folder of scans in work marks an inbox."""
    for above in reversed(path.parents):
        ends = path.relative_to(above).parts[0]
        if ends == POSTED or (ends in OUTCOMES and (above / WORKING).is_dir()):
            return above, path.relative_to(above)
    return None
