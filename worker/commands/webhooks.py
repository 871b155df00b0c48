"""``icr webhooks``: who is told of events, and messages that did not arrive."""

from __future__ import annotations

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime, ready_engine
from worker.commands.saying import say

EVENTS = ("scan.read", "scan.failed", "scan.complete", "field.reviewed", "field.corrected_after_acceptance")
SHOWN = 200


@click.group()
def webhooks() -> None:
    """Tell other systems of events; 'icr serve' and 'icr up' deliver."""


@webhooks.command("add")
@click.argument("url")
@click.option("--event", "events", type=click.Choice(EVENTS), multiple=True, help="What to tell; all unless given.")
@pass_runtime
def add(runtime: Runtime, url: str, events: tuple[str, ...]) -> None:
    """Print the secret that signs what URL gets; it is shown this once."""
    from worker.api.targets import check_url
    from worker.store.webhooks import add_endpoint

    check_url(url, allow_private=runtime.settings.webhook_private)
    _, secret = add_endpoint(ready_engine(runtime), url, events)
    say(secret)


@webhooks.command("list")
@pass_runtime
def list_them(runtime: Runtime) -> None:
    """Show all webhooks, with how many messages are due and were given up."""
    from worker.store.webhooks import list_endpoints

    for row in list_endpoints(ready_engine(runtime)):
        state = f"disabled: {row.disabled_reason}" if row.disabled_at else f"{row.due} due, {row.dead} dead"
        say(f"{row.id}  {row.url}  {', '.join(row.events) or 'all events'}  {state}")


@webhooks.command("disable")
@click.argument("webhook_id", type=int)
@pass_runtime
def disable(runtime: Runtime, webhook_id: int) -> None:
    """Tell a webhook nothing more, by its number in 'icr webhooks list'."""
    from worker.store.webhooks import disable_endpoint

    disable_endpoint(ready_engine(runtime), webhook_id, "disabled by command")
    say(f"webhook {webhook_id} is told nothing more")


@webhooks.command("dead")
@pass_runtime
def dead(runtime: Runtime) -> None:
    """Show messages that were given up after a day."""
    from worker.store.webhooks import list_messages

    for row in list_messages(ready_engine(runtime), dead=True, limit=SHOWN):
        say(f"{row.id}  {row.event}  {row.url}  {row.attempts} tries: {row.last_error}")


@webhooks.command("send")
@click.argument("message_id", required=False)
@click.option("--all", "everything", is_flag=True, help="Every message that was given up.")
@pass_runtime
def send(runtime: Runtime, message_id: str | None, everything: bool) -> None:
    """Send messages again that were given up."""
    if everything == (message_id is not None):
        raise click.UsageError("name the message, or --all")
    from worker.store.webhooks import send_again

    say(f"{send_again(ready_engine(runtime), message_id)} messages are sent again")
