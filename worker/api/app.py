"""The application: the API under ``/v1``, and the pages of the station, behind one way to sign in."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI

from worker.api import access, audits, exports, fields, images, login, reviews, scans, webhooks
from worker.api.guard import Guard
from worker.api.openid import make_provider
from worker.api.passwords import FailureLimits
from worker.api.pictures import PictureMaker
from worker.api.problems import COMMON, add_problem_answers
from worker.api.queries import refuse_unknown_query
from worker.bootstrap import Runtime
from worker.inbox.posted import remove_left_files

PAGES = "worker.review.routes"
"""The room of the pages lies above this one, so it is found by its name; ``make_pages(runtime)`` makes its router."""


def make_app(runtime: Runtime) -> FastAPI:
    """Build the application of one process; nothing is opened before the first request."""
    app = FastAPI(
        title="icr-worker",
        version=version("icr-worker"),
        description="Reads handwritten numbers off scans, and says which ones a person should look at",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # both load scripts from another host
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.runtime = runtime
    app.state.failures = FailureLimits()
    app.state.provider = make_provider(runtime.settings)
    app.state.pictures = PictureMaker(runtime.settings)
    app.state.announcer = scans.Announcer(runtime)
    add_problem_answers(app)
    app.add_middleware(Guard)
    app.include_router(login.router, responses=COMMON)
    for room in (scans, fields, reviews, images, exports, webhooks, audits):
        app.include_router(room.router, responses=COMMON, dependencies=[Depends(refuse_unknown_query)])
    if pages := _find_pages(runtime):
        app.include_router(pages, dependencies=[Depends(access.current_user)], include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Delete what a crash left, and stop the helper at the end."""
    remove_left_files(app.state.runtime.inbox)
    yield
    app.state.pictures.close()


def _find_pages(runtime: Runtime) -> APIRouter | None:
    try:
        if importlib.util.find_spec(PAGES) is None:
            return None
    except ModuleNotFoundError:
        return None
    pages: APIRouter = importlib.import_module(PAGES).make_pages(runtime)
    return pages
