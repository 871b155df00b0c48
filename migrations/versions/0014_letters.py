"""Who sent the messages that scans came with; views name the document of a page beside its scan's reference.

Revision: 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

DOCUMENT = """, (SELECT dc.reference FROM documents dc WHERE dc.job_id = p.job_id AND dc.accepted_at IS NOT NULL
        AND p.number BETWEEN dc.first_page AND dc.last_page) AS document"""

FIELD_COLUMNS = """
    f.id AS field_id, f.name, f.text AS machine_text, f.confidence, f.status, f.reasons, f.alternatives,
    f.accept_threshold, f.final_text, f.origin, f.box_x, f.box_y, f.box_w, f.box_h, f.position,
    p.id AS page_id, p.number AS page, p.template, p.template_version, p.registration, p.model_versions,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at,
    f.value AS machine_value,
    COALESCE(f.reviewed_value, CASE WHEN f.final_text = f.text THEN f.value END) AS final_value, f.currency,
    f.validation_sources, f.written AS machine_written, f.kind, f.unit"""
FROM_FIELDS = "FROM fields f JOIN pages p ON p.id = f.page_id JOIN jobs j ON j.id = p.job_id"
PAGE_COLUMNS = """
    p.id AS page_id, p.number AS page, p.problem, p.doubt, p.template, p.registration,
    j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at"""
FROM_PAGES = """
    FROM pages p JOIN jobs j ON j.id = p.job_id
    WHERE (p.problem IS NOT NULL OR p.doubt IS NOT NULL) AND p.settled_at IS NULL"""
DIGIT_COLUMNS = """
    d.field_id, d.position, d.digit, d.confidence, d.second_digit, d.second_confidence,
    d.third_digit, d.third_confidence, d.outlier, d.box_x, d.box_y, d.box_w, d.box_h,
    f.name, f.text AS machine_text, f.confidence AS field_confidence, f.status, f.final_text, f.origin,
    p.number AS page, p.template, j.id AS job_id, j.uri, j.reference, j.finished_at AS read_at"""
FROM_DIGITS = """
    FROM digits d JOIN fields f ON f.id = d.field_id JOIN pages p ON p.id = f.page_id JOIN jobs j ON j.id = p.job_id
    WHERE d.confidence < 0.99"""
VIEWS = {
    "final_fields": (FIELD_COLUMNS, FROM_FIELDS),
    "review_queue": (FIELD_COLUMNS, f"{FROM_FIELDS} WHERE f.final_text IS NULL"),
    "page_review_queue": (PAGE_COLUMNS, FROM_PAGES),
    "low_confidence_digits": (DIGIT_COLUMNS, FROM_DIGITS),
}


def upgrade() -> None:
    """Add a table, and a column to each view."""
    op.create_table(
        "letters",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("reference", name="pk_letters"),
    )
    make_views(DOCUMENT)


def downgrade() -> None:
    """Drop them: what is known of senders is lost."""
    make_views("")
    op.drop_table("letters")


def make_views(more: str) -> None:
    """Make the views anew with ``more`` columns at their end."""
    for name, (columns, source) in VIEWS.items():
        op.execute(f"DROP VIEW {name}")
        op.execute(f"CREATE VIEW {name} AS SELECT {columns}{more} {source}")
