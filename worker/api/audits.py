"""What the audit of accepted fields has shown: how many of them were wrong, and at most how many are."""

from __future__ import annotations

from fastapi import APIRouter

from schemas.http import AuditOut, AuditsOut
from worker.api.access import OurRuntime, Reader
from worker.monitoring.audit_bound import ALPHA, bound_rate
from worker.store.audits import count_audits

router = APIRouter(prefix="/v1", tags=["results"])


@router.get("/audits", summary="The audit of accepted fields")
def get_audits(runtime: OurRuntime, _user: Reader) -> AuditsOut:
    """Return the fields that were drawn, answered and wrong, with the upper bound of the substitution rate."""
    counts = count_audits(runtime.engine())
    items = [_audit_out(each.source, each.template, each.drawn, each.audited, each.wrong) for each in counts]
    sums = [sum(getattr(each, name) for each in counts) for name in ("drawn", "audited", "wrong")]
    return AuditsOut(share=runtime.settings.audit_share, total=_audit_out(None, None, *sums), items=items)


def _audit_out(source: str | None, template: str | None, drawn: int, audited: int, wrong: int) -> AuditOut:
    return AuditOut(
        source=source,
        template=template,
        drawn=drawn,
        audited=audited,
        wrong=wrong,
        bound=round(bound_rate(audited, wrong), 6),
        confidence=1 - ALPHA,
    )
