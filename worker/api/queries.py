"""Queries that the API knows: a misspelt one would be passed over, and a selection would give everything."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

from worker.api.access import SignedIn


async def refuse_unknown_query(request: Request, _user: SignedIn) -> None:
    """Refuse a request whose query holds a name that its address does not know, once it is known who asks.

    Raises
    ------
    RequestValidationError
        Names each of them.
    """
    known = set(_names(request.scope["route"].dependant))
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError([{"type": "extra_forbidden", "loc": ("query", name)} for name in unknown])


def _names(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query that an address, or what it depends on, asks for."""
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)
