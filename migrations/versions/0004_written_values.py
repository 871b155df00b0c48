"""What stands in a field with its marks, the kind and grammar of the field, and what a person's answer means.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")

OLD_FIELD_COLUMNS = """
    f.id AS field_id, f.name, f.text AS machine_text, f.confidence, f.status, f.reasons, f.alternatives,
    f.accept_threshold, f.final_text, f.origin, f.box_x, f.box_y, f.box_w, f.box_h, f.position,
    p.id AS page_id, p.number AS page, p.template, p.template_version, p.registration, p.model_versions,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at,
    f.value AS machine_value, CASE WHEN f.final_text = f.text THEN f.value END AS final_value, f.currency,
    f.validation_sources"""

# A person's answer has its own value; the machine's value holds while the machine's text does.
FIELD_COLUMNS = """
    f.id AS field_id, f.name, f.text AS machine_text, f.confidence, f.status, f.reasons, f.alternatives,
    f.accept_threshold, f.final_text, f.origin, f.box_x, f.box_y, f.box_w, f.box_h, f.position,
    p.id AS page_id, p.number AS page, p.template, p.template_version, p.registration, p.model_versions,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at,
    f.value AS machine_value,
    COALESCE(f.reviewed_value, CASE WHEN f.final_text = f.text THEN f.value END) AS final_value, f.currency,
    f.validation_sources, f.written AS machine_written, f.kind, f.unit"""

FROM_FIELDS = "FROM fields f JOIN pages p ON p.id = f.page_id JOIN jobs j ON j.id = p.job_id"


def upgrade() -> None:
    """Add nullable columns and two with constant defaults: no row is rewritten."""
    drop_field_views()
    op.add_column("fields", sa.Column("written", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("fields", sa.Column("kind", sa.Text(), nullable=False, server_default=sa.text("'code'")))
    op.add_column("fields", sa.Column("unit", sa.Text(), nullable=True))
    op.add_column("fields", sa.Column("grammar", JSON, nullable=True))
    op.add_column("fields", sa.Column("reviewed_value", sa.Text(), nullable=True))
    op.add_column("reviews", sa.Column("overruled", sa.Text(), nullable=True))
    create_field_views(FIELD_COLUMNS)


def downgrade() -> None:
    """Drop them: what they held is lost, every reading and every review stays."""
    drop_field_views()
    op.drop_column("reviews", "overruled")
    for name in ("reviewed_value", "grammar", "unit", "kind", "written"):
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
