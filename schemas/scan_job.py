"""What a job message holds: the one JSON argument of the Celery task ``icr.read_scan``."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

MAX_REFERENCE = 200
"""Characters of a caller's own reference."""


class ScanJob(BaseModel):
    """One scan to read.

    ``id`` is the caller's key to the result and makes sending twice harmless; one is made where it is missing.
    ``uri`` names the scan under the allowed roots: an absolute path, ``file://``, or ``s3://bucket/key``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: Annotated[
        str, Field(min_length=1, max_length=4096, description="Absolute path, file:// or s3:// URI of the scan")
    ]
    id: Annotated[UUID | None, Field(description="The job id, by which the result is found; made if missing")] = None
    template: Annotated[
        str | None, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name of a form template; None: identify")
    ] = None
    reference: Annotated[
        str | None, Field(max_length=MAX_REFERENCE, description="The caller's own reference, kept as it is")
    ] = None
    priority: Annotated[int, Field(ge=0, le=9, description="0 is least urgent, 9 most")] = 5
