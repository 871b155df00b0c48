"""Bring the queue in line with the job rows, which are the truth: publish again what was lost."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine

from worker.queue.depth import queue_depth
from worker.queue.in_hand import give_back_of_the_dead
from worker.queue.publishing import Publisher
from worker.store.holders import count_published, list_holders, take_back_jobs
from worker.store.jobs import find_lost_jobs, get_job
from worker.system.process_identity import is_dead

log = structlog.get_logger(__name__)

BATCH = 500
"""Most jobs published again at once, so that a long backlog does not flood a queue that has just come back."""

UNPUBLISHED_AFTER_S = 5.0
"""A row is published within milliseconds of its commit; after this time its publisher has died in between."""

BACKLOG_PATIENCE_S = 6 * 3600.0
"""While Redis holds a message for every open row, a waiting job is in line and not lost, so there is no hurry."""

_TURN = "icr:reconcile"


def reconcile_in_turn(publisher: Publisher) -> None:
    """Reconcile unless another process did so lately; every worker and every watcher calls this often."""
    client = publisher.runtime.redis_client()
    turn_ms = round(publisher.runtime.settings.reconcile_s * 1000)
    if client.set(_TURN, "taken", nx=True, px=turn_ms):
        reconcile(publisher)
    elif int(client.pttl(_TURN)) > turn_ms:  # the clock was set back; otherwise nobody would have a turn for as long
        client.delete(_TURN)


def reconcile(publisher: Publisher) -> int:
    """Publish again what the queue has forgotten; return how many.

    First come the rows that were never published and those whose worker died. Then, if fewer messages of ours wait in
    Redis than there are queued rows, as many as are missing of those published longest ago. Nobody knows which ones are
    lost; the claim drops a message too many, and the next turn finds those that are still missing. Messages of other
    programs do not count, and neither do messages in hand: a worker of another machine that was killed before its claim
    leaves them there until the visibility timeout.
    """
    engine = publisher.runtime.engine()
    take_back_from_the_dead(engine)
    give_back_of_the_dead(publisher.runtime.redis_client())
    count = _republish(publisher, patience_s=BACKLOG_PATIENCE_S, limit=BATCH)
    missing = count_published(engine) - queue_depth(publisher.runtime.redis_client()).own_waiting
    if missing > 0:
        patience_s = publisher.runtime.settings.reconcile_s
        count += _republish(publisher, patience_s=patience_s, limit=min(BATCH, missing))
    if count:
        log.warning("published lost jobs again", jobs=count)
    return count


def take_back_from_the_dead(engine: Engine) -> None:
    """Queue again what processes of this machine held when they died, without waiting for their leases."""
    for holder in list_holders(engine):
        if is_dead(holder):
            log.warning("took back the jobs of a dead process", holder=holder, jobs=take_back_jobs(engine, holder))


def _republish(publisher: Publisher, *, patience_s: float, limit: int) -> int:
    """Publish rows that were never published, or more than ``patience_s`` ago and not taken since."""
    engine = publisher.runtime.engine()
    lost = find_lost_jobs(engine, unpublished_after_s=UNPUBLISHED_AFTER_S, republish_after_s=patience_s, limit=limit)
    for ticket in lost:
        record = get_job(engine, ticket.id)
        if record is not None:
            publisher.republish(record)
    return len(lost)
