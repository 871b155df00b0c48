"""What a field's text means and what spoke for it; pages that await review.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
PAGE_AWAITS_REVIEW = "(problem IS NOT NULL OR doubt IS NOT NULL) AND settled_at IS NULL"

OLD_FIELD_COLUMNS = """
    f.id AS field_id, f.name, f.text AS machine_text, f.confidence, f.status, f.reasons, f.alternatives,
    f.accept_threshold, f.final_text, f.origin, f.box_x, f.box_y, f.box_w, f.box_h, f.position,
    p.id AS page_id, p.number AS page, p.template, p.template_version, p.registration, p.model_versions,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at"""

# The machine's value is that of the machine's text: it holds only while that text does.
FIELD_COLUMNS = OLD_FIELD_COLUMNS + """,
    f.value AS machine_value, CASE WHEN f.final_text = f.text THEN f.value END AS final_value, f.currency,
    f.validation_sources"""

FROM_FIELDS = "FROM fields f JOIN pages p ON p.id = f.page_id JOIN jobs j ON j.id = p.job_id"

PAGE_REVIEW_QUEUE = """
    SELECT p.id AS page_id, p.number AS page, p.problem, p.doubt, p.template, p.registration,
        j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at
    FROM pages p JOIN jobs j ON j.id = p.job_id
    WHERE (p.problem IS NOT NULL OR p.doubt IS NOT NULL) AND p.settled_at IS NULL"""


def upgrade() -> None:
    """Add nullable columns and one with a constant default: no row is rewritten."""
    drop_field_views()
    op.add_column("fields", sa.Column("value", sa.Text(), nullable=True))
    op.add_column("fields", sa.Column("currency", sa.Text(), nullable=True))
    op.add_column("fields", sa.Column("validation_sources", JSON, nullable=False, server_default=sa.text("'[]'")))
    op.add_column("pages", sa.Column("doubt", sa.Text(), nullable=True))
    op.add_column("pages", sa.Column("settled_by", sa.Text(), nullable=True))
    op.add_column("pages", sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_pages_awaiting_review", "pages", ["id"],
        sqlite_where=sa.text(PAGE_AWAITS_REVIEW), postgresql_where=sa.text(PAGE_AWAITS_REVIEW),
    )
    create_field_views(FIELD_COLUMNS)
    op.execute(f"CREATE VIEW page_review_queue AS {PAGE_REVIEW_QUEUE}")


def downgrade() -> None:
    """Drop them: what they held is lost, every reading stays."""
    op.execute("DROP VIEW page_review_queue")
    drop_field_views()
    op.drop_index("ix_pages_awaiting_review", "pages")
    for name in ("settled_at", "settled_by", "doubt"):
        op.drop_column("pages", name)
    for name in ("validation_sources", "currency", "value"):
        op.drop_column("fields", name)
    create_field_views(OLD_FIELD_COLUMNS)


def drop_field_views() -> None:
    """Drop the views of fields; SQLite alters no table under one that it cannot resolve."""
    op.execute("DROP VIEW review_queue")
    op.execute("DROP VIEW final_fields")


def create_field_views(columns: str) -> None:
    """Create the views of fields."""
    op.execute(f"CREATE VIEW final_fields AS SELECT {columns} {FROM_FIELDS}")
    op.execute(f"CREATE VIEW review_queue AS SELECT {columns} {FROM_FIELDS} WHERE f.final_text IS NULL")
