"""Documents of scans with separator sheets.

Revision: 0013, after 0012.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

HAS_REFERENCE = sa.text("reference IS NOT NULL")


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "documents",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("first_page", sa.Integer(), nullable=False),
        sa.Column("last_page", sa.Integer(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("accepted_by", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_documents_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "first_page", name="pk_documents"),
    )
    op.create_index(
        "ix_documents_reference",
        "documents",
        ["reference"],
        sqlite_where=HAS_REFERENCE,
        postgresql_where=HAS_REFERENCE,
    )


def downgrade() -> None:
    """Drop it: pages have the references of their jobs again."""
    op.drop_table("documents")
