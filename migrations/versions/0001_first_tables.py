"""The first tables and views.

Revision: 0001, after none.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

FIELD_COLUMNS = """
    f.id AS field_id, f.name, f.text AS machine_text, f.confidence, f.status, f.reasons, f.alternatives,
    f.accept_threshold, f.final_text, f.origin, f.box_x, f.box_y, f.box_w, f.box_h, f.position,
    p.id AS page_id, p.number AS page, p.template, p.template_version, p.registration, p.model_versions,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at"""

FROM_FIELDS = "FROM fields f JOIN pages p ON p.id = f.page_id JOIN jobs j ON j.id = p.job_id"

VIEWS = {
    "final_fields": f"SELECT {FIELD_COLUMNS} {FROM_FIELDS}",
    "review_queue": f"SELECT {FIELD_COLUMNS} {FROM_FIELDS} WHERE f.final_text IS NULL",
    "low_confidence_digits": """
        SELECT d.field_id, d.position, d.digit, d.confidence, d.second_digit, d.second_confidence,
            d.third_digit, d.third_confidence, d.outlier, d.box_x, d.box_y, d.box_w, d.box_h,
            f.name, f.text AS machine_text, f.confidence AS field_confidence, f.status, f.final_text, f.origin,
            p.number AS page, p.template, j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at
        FROM digits d JOIN fields f ON f.id = d.field_id JOIN pages p ON p.id = f.page_id
            JOIN jobs j ON j.id = p.job_id
        WHERE d.confidence < 0.99""",
}

TABLES = ["reviews", "digits", "fields", "pages", "jobs", "templates", "scans", "purges", "models"]


def partial(condition: str) -> dict[str, Any]:
    """Return the options of an index that holds only the rows of a condition."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    """Create every table, index and view."""
    op.create_table("models",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_models")
    )

    op.create_table("purges",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("older_than", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("scans", sa.BigInteger(), nullable=False),
        sa.Column("pages", sa.BigInteger(), nullable=False),
        sa.Column("fields_accepted", sa.BigInteger(), nullable=False),
        sa.Column("fields_review", sa.BigInteger(), nullable=False),
        sa.Column("fields_blank", sa.BigInteger(), nullable=False),
        sa.Column("digits", sa.BigInteger(), nullable=False),
        sa.Column("reviews", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_purges"),
        sqlite_autoincrement=True
    )

    op.create_table("scans",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scans"),
        sa.UniqueConstraint("sha256", name="uq_scans_sha256")
    )

    op.create_table("templates",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_templates")
    )

    op.create_table("jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scan_id", sa.Text(), nullable=True),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("raw_message", sa.Text(), nullable=True),
        sa.Column("duplicate_of", sa.Text(), nullable=True),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.CheckConstraint("state IN ('queued','running','done','failed','dead','duplicate')", name=op.f("ck_jobs_state")),
        sa.CheckConstraint("priority BETWEEN 0 AND 9", name=op.f("ck_jobs_priority")),
        sa.ForeignKeyConstraint(["duplicate_of"], ["jobs.id"], name="fk_jobs_duplicate_of", ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["scan_id"], ["scans.id"], name="fk_jobs_scan_id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs")
    )
    op.create_index("ix_jobs_duplicate_of", "jobs", ["duplicate_of"])
    op.create_index("ix_jobs_open", "jobs", ["state", "queued_at"], **partial("state IN ('queued','running')"))
    op.create_index("ix_jobs_reference", "jobs", ["reference"], **partial("reference IS NOT NULL"))
    op.create_index("ix_jobs_scan_id_template", "jobs", ["scan_id", "template"])
    op.create_index("ix_jobs_state_finished_at", "jobs", ["state", "finished_at"])

    op.create_table("pages",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("width_px", sa.Integer(), nullable=False),
        sa.Column("height_px", sa.Integer(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("template_version", sa.Text(), nullable=True),
        sa.Column("registration", sa.Double(), nullable=True),
        sa.Column("model_versions", JSON, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_pages_job_id"),
        sa.ForeignKeyConstraint(["template", "template_version"], ["templates.name", "templates.version"], name="fk_pages_template_template_version"),
        sa.PrimaryKeyConstraint("id", name="pk_pages"),
        sqlite_autoincrement=True
    )
    op.create_index("uq_pages_job_id_number", "pages", ["job_id", "number"], unique=True)

    op.create_table("fields",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("page_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("alternatives", JSON, nullable=False),
        sa.Column("box_x", sa.Integer(), nullable=False),
        sa.Column("box_y", sa.Integer(), nullable=False),
        sa.Column("box_w", sa.Integer(), nullable=False),
        sa.Column("box_h", sa.Integer(), nullable=False),
        sa.Column("accept_threshold", sa.Double(), nullable=True),
        sa.Column("final_text", sa.Text(), nullable=True),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.CheckConstraint("origin IN ('machine','reviewer')", name=op.f("ck_fields_origin")),
        sa.CheckConstraint("status IN ('accepted','review','blank')", name=op.f("ck_fields_status")),
        sa.ForeignKeyConstraint(["page_id"], ["pages.id"], name="fk_fields_page_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fields"),
        sqlite_autoincrement=True
    )
    op.create_index("ix_fields_awaiting_review", "fields", ["id"], **partial("final_text IS NULL"))
    op.create_index("uq_fields_page_id_position", "fields", ["page_id", "position"], unique=True)

    op.create_table("digits",
        sa.Column("field_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("digit", sa.SmallInteger(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("second_digit", sa.SmallInteger(), nullable=False),
        sa.Column("second_confidence", sa.Double(), nullable=False),
        sa.Column("third_digit", sa.SmallInteger(), nullable=False),
        sa.Column("third_confidence", sa.Double(), nullable=False),
        sa.Column("outlier", sa.Double(), nullable=False),
        sa.Column("box_x", sa.Integer(), nullable=False),
        sa.Column("box_y", sa.Integer(), nullable=False),
        sa.Column("box_w", sa.Integer(), nullable=False),
        sa.Column("box_h", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["field_id"], ["fields.id"], name="fk_digits_field_id"),
        sa.PrimaryKeyConstraint("field_id", "position", name="pk_digits"),
        sqlite_with_rowid=False
    )
    op.create_index("ix_digits_low_confidence", "digits", ["confidence", "field_id", "position"], **partial("confidence < 0.99"))

    op.create_table("reviews",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("field_id", ID, nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('correct','confirm')", name=op.f("ck_reviews_action")),
        sa.ForeignKeyConstraint(["field_id"], ["fields.id"], name="fk_reviews_field_id"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sqlite_autoincrement=True
    )
    op.create_index("ix_reviews_field_id", "reviews", ["field_id"])

    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    """Drop them all, those first that refer to others."""
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    for name in TABLES:
        op.drop_table(name)
