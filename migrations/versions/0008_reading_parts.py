"""Pages of long scans that were read before their jobs were handed back.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "reading_parts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("first_page", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("pages", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_reading_parts_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "first_page", name="pk_reading_parts"),
    )


def downgrade() -> None:
    """Drop it: such scans are read from their first page on."""
    op.drop_table("reading_parts")
