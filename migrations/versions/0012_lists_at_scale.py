"""What the lists and counts of a full database need to stay fast: columns of the queue, and partial indexes.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

WAITING = "final_text IS NULL"
TO_CHECK = "confidence < 0.99 AND NOT closed"
INDEXES: tuple[tuple[str, str, list[str], str | None], ...] = (
    ("ix_fields_waiting_of_page", "fields", ["page_id", "final_text"], WAITING),
    ("ix_fields_waiting_of_form", "fields", ["queue_template", "queue_source", "id", "final_text"], WAITING),
    ("ix_fields_waiting_by_rank", "fields", ["queue_rank", "id"], WAITING),
    ("ix_digits_to_check", "digits", ["digit", "confidence", "field_id", "position", "closed"], TO_CHECK),
    ("ix_reviews_field_id_who", "reviews", ["field_id", "who"], None),
    ("ix_reviews_undoes", "reviews", ["undoes"], "undoes IS NOT NULL"),
    ("ix_reviews_keys", "reviews", ["id"], "action = 'key'"),
    ("ix_review_tasks_escalated", "review_tasks", ["field_id"], "level = 'supervisor'"),
    ("ix_pages_template", "pages", ["template", "id"], None),
)
FILL_QUEUE = """
    UPDATE fields SET
        queue_template = (SELECT p.template FROM pages p WHERE p.id = fields.page_id),
        queue_source = (SELECT j.source FROM pages p JOIN jobs j ON j.id = p.job_id WHERE p.id = fields.page_id),
        queue_rank = CASE WHEN kind = 'amount' AND value IS NOT NULL THEN -CAST(value AS DOUBLE PRECISION) ELSE 0 END
"""
CLOSE_DIGITS = """
    UPDATE digits SET closed = true
    WHERE confidence < 0.99 AND (
        EXISTS (SELECT 1 FROM digit_checks c WHERE c.field_id = digits.field_id AND c.position = digits.position)
        OR EXISTS (
            SELECT 1 FROM fields f WHERE f.id = digits.field_id
            AND f.final_text IS NOT NULL AND (f.origin <> 'machine' OR f.status <> 'accepted')
        )
    )
"""


def upgrade() -> None:
    """Add columns that rewrite no row, fill them where something waits or is doubtful, and add the indexes."""
    op.add_column("fields", sa.Column("queue_template", sa.Text(), nullable=True))
    op.add_column("fields", sa.Column("queue_source", sa.Text(), nullable=True))
    op.add_column("fields", sa.Column("queue_rank", sa.Double(), nullable=False, server_default=sa.text("0")))
    op.add_column("digits", sa.Column("closed", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.execute(FILL_QUEUE)
    op.execute(CLOSE_DIGITS)
    for name, table, columns, where in INDEXES:
        partial = {} if where is None else {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
        op.create_index(name, table, columns, **partial)
    op.drop_index("ix_reviews_field_id", "reviews")


def downgrade() -> None:
    """Drop them; nothing that was read or decided is in them alone."""
    op.create_index("ix_reviews_field_id", "reviews", ["field_id"])
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table)
    op.drop_column("digits", "closed")
    for name in ("queue_rank", "queue_source", "queue_template"):
        op.drop_column("fields", name)
