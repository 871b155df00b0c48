"""Webhooks over HTTP: who is told, and messages that did not arrive, which may be sent again."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query

from schemas.http import WebhookIn, WebhookMessageOut, WebhookMessagesOut, WebhookOut, WebhookSecretOut
from worker.api.access import Admin, OurRuntime
from worker.api.targets import check_url
from worker.store.webhooks import add_endpoint, disable_endpoint, list_endpoints, list_messages, send_again

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

EndpointId = Annotated[int, Path(ge=1, le=2**62)]


@router.get("", summary="Who is told of events")
def get_webhooks(runtime: OurRuntime, _user: Admin) -> list[WebhookOut]:
    """Return all webhooks, without their secrets."""
    return [
        WebhookOut(**{name: getattr(row, name) for name in WebhookOut.model_fields})
        for row in list_endpoints(runtime.engine())
    ]


@router.post("", status_code=201, summary="Tell somebody of events")
def post_webhook(order: WebhookIn, runtime: OurRuntime, _user: Admin) -> WebhookSecretOut:
    """Add a webhook; the secret that signs what it gets is shown this once."""
    check_url(order.url, allow_private=runtime.settings.webhook_private)
    endpoint_id, secret = add_endpoint(runtime.engine(), order.url, sorted(set(order.events)))
    return WebhookSecretOut(id=endpoint_id, url=order.url, events=sorted(set(order.events)), secret=secret)


@router.delete("/{endpoint_id}", status_code=204, summary="Tell them nothing more")
def delete_webhook(endpoint_id: EndpointId, runtime: OurRuntime, user: Admin) -> None:
    """Disable a webhook; what is on its way is set aside."""
    disable_endpoint(runtime.engine(), endpoint_id, f"disabled by {user.name}")


@router.get("/messages", summary="Messages on their way, or set aside")
def get_messages(
    runtime: OurRuntime,
    _user: Admin,
    state: Literal["due", "dead"] = "dead",
    after: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> WebhookMessagesOut:
    """Return messages that are to be sent, or that were given up after a day."""
    rows = list_messages(runtime.engine(), dead=state == "dead", limit=limit, after=after)
    items = [WebhookMessageOut(**{name: getattr(row, name) for name in WebhookMessageOut.model_fields}) for row in rows]
    follows = f"/v1/webhooks/messages?state={state}&limit={limit}&after={rows[-1].id}" if len(rows) == limit else None
    return WebhookMessagesOut(items=items, next=follows)


@router.post("/messages/{message_id}/send", status_code=202, summary="Send a message again")
def post_send(message_id: str, runtime: OurRuntime, _user: Admin) -> None:
    """Send a message again that was given up."""
    if not send_again(runtime.engine(), message_id):
        raise HTTPException(404, "there is no message of that id that was given up for a webhook that is still told")
