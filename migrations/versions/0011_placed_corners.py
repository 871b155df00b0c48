"""Corners of forms that people placed on pages.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Add a table."""
    op.create_table(
        "placed_corners",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("box_mm", JSON, nullable=True),
        sa.Column("corners_px", JSON, nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_placed_corners_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_placed_corners"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_placed_corners_job_id", "placed_corners", ["job_id"])


def downgrade() -> None:
    """Drop it: such pages are registered by their print again."""
    op.drop_table("placed_corners")
