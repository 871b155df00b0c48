"""Every step of the schema's history, with rows of the first revision in it, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from tests.integration.test_store_schema import OLD_ROWS
from tests.support.readings import CHECK, read
from worker.store import engine as store
from worker.store.engine import database_revision, head_revision, make_engine, upgrade_database
from worker.store.results import Selection, iter_pages, iter_review_queue
from worker.store.reviews import correct_field

MORE_ROWS = [
    *OLD_ROWS,
    "INSERT INTO digits VALUES (1, 0, 7, 0.99, 1, 0.005, 9, 0.001, 0.1, 1, 2, 3, 4)",
    "INSERT INTO reviews (field_id, action, before, after, who, created_at)"
    " VALUES (1, 'confirm', '701', '701', 'Ann', '2026-11-02 00:00:00')",
    "INSERT INTO jobs (id, scan_id, uri, priority, source, state, attempts, deliveries, created_at, queued_at, linked,"
    " duplicate_of) VALUES ('k', 's', '/b.png', 5, 'inbox', 'duplicate', 0, 0, '2026-11-01 00:00:00',"
    " '2026-11-01 00:00:00', false, 'j')",
    "INSERT INTO purges (started_at, older_than, jobs, scans, pages, fields_accepted, fields_review, fields_blank,"
    " digits, reviews) VALUES ('2026-11-01 00:00:00', '2026-10-01 00:00:00', 1, 1, 1, 1, 1, 1, 1, 1)",
]
REVISIONS = [script.revision for script in ScriptDirectory.from_config(store.alembic_config()).walk_revisions()][::-1]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "step by step"])
def test_rows_of_the_first_revision_live_through_every_step(database_url: str, at_once: bool) -> None:
    engine = make_engine(database_url)
    upgrade_database(engine, REVISIONS[0])
    with engine.begin() as connection:
        for statement in MORE_ROWS:
            connection.execute(sa.text(statement))
    for revision in [REVISIONS[-1]] if at_once else REVISIONS[1:]:
        upgrade_database(engine, revision)
        assert database_revision(engine) == revision
        with engine.connect() as connection:
            kept = connection.execute(sa.text("SELECT machine_text, final_text FROM final_fields ORDER BY field_id"))
            assert [tuple(row) for row in kept] == [("701", "701"), ("38", None)]
            assert connection.execute(sa.text("SELECT count(*) FROM reviews")).scalar_one() == 1
            assert connection.execute(sa.text("SELECT count(*) FROM low_confidence_digits")).scalar_one() == 0
    assert database_revision(engine) == head_revision()
    (waiting,) = iter_review_queue(engine)
    correct_field(engine, waiting.field_id, "39", who="Ann")
    read(engine, CHECK)
    old, new = iter_pages(engine, Selection())
    assert [f.final for f in old.fields] == ["701", "39"] and len(new.fields) == 3
    engine.dispose()
