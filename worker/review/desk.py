"""What the pages work with: the runtime and HTML templates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine

from worker.api.access import Role, User
from worker.bootstrap import Runtime
from worker.review.crops import page_url
from worker.sources.file_uris import display_name
from worker.system.local_token import is_loopback

HERE = Path(__file__).parent
STATIC = HERE / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def hash_static() -> str:
    """Return a name for the present files of ``static/``: their address changes with them, so they may be cached."""
    joined = b"".join(path.name.encode() + path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file())
    return hashlib.sha256(joined).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page needs."""

    runtime: Runtime
    pages: Environment
    static_version: str

    @property
    def engine(self) -> Engine:
        """Return the database."""
        return self.runtime.engine()

    def show(self, page: str, user: User, /, **values: Any) -> HTMLResponse:
        """Return a page made of an HTML template; every value is escaped."""
        html = self.pages.get_template(page).render(user=user, is_supervisor=user.may(Role.SUPERVISOR), **values)
        return HTMLResponse(html)


def make_desk(runtime: Runtime) -> Desk:
    """Set up what the pages share; nothing is opened before the first request."""
    version = hash_static()
    pages = Environment(loader=FileSystemLoader(HERE / "pages"), autoescape=True, undefined=StrictUndefined)
    pages.globals["signs_out"] = not is_loopback(runtime.settings.serve_host)  # here nobody signed in by a password
    pages.globals["has_batches"] = runtime.settings.separators != "off"
    pages.globals["static"] = f"/static/{version}"
    pages.filters["scan_name"] = display_name
    pages.filters["page_url"] = page_url
    pages.filters["age"] = spell_age
    pages.trim_blocks = pages.lstrip_blocks = True
    return Desk(runtime, pages, version)


def spell_age(seconds: float) -> str:
    """Return an age for people, in its largest unit."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
