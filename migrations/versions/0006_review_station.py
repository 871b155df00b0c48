"""Who has a waiting field in hand, and what people saw and did when they decided.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")
OLD_ACTIONS = "action IN ('correct','confirm')"
ACTIONS = "action IN ('correct','confirm','unreadable','key','skip','escalate','undo')"
HAS_STATION = "station IS NOT NULL"


def upgrade() -> None:
    """Add a table, and nullable columns; SQLite copies the reviews once, because it cannot alter a check."""
    op.create_table(
        "review_tasks",
        sa.Column("field_id", ID, autoincrement=False, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False, server_default=sa.text("'keyer'")),
        sa.Column("held_by", sa.Text(), nullable=True),
        sa.Column("station", sa.Text(), nullable=True),
        sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("level IN ('keyer','supervisor')", name=op.f("ck_review_tasks_level")),
        sa.ForeignKeyConstraint(["field_id"], ["fields.id"], name="fk_review_tasks_field_id"),
        sa.PrimaryKeyConstraint("field_id", name="pk_review_tasks"),
    )
    op.create_index(
        "ix_review_tasks_station", "review_tasks", ["station"],
        sqlite_where=sa.text(HAS_STATION), postgresql_where=sa.text(HAS_STATION),
    )
    set_actions(ACTIONS)
    op.add_column("reviews", sa.Column("shown", sa.Text(), nullable=True))
    op.add_column("reviews", sa.Column("shown_text", sa.Text(), nullable=True))
    op.add_column("reviews", sa.Column("keys", sa.Integer(), nullable=True))
    op.add_column("reviews", sa.Column("seconds", sa.Double(), nullable=True))
    op.add_column("reviews", sa.Column("held", JSON, nullable=True))
    op.add_column("reviews", sa.Column("undoes", ID, nullable=True))
    op.create_index("ix_reviews_who_id", "reviews", ["who", "id"])
    op.create_index("ix_reviews_created_at", "reviews", ["created_at"])


def downgrade() -> None:
    """Drop them; acts that were no decision go, and so do decisions that an earlier version has no name for."""
    op.execute("DELETE FROM reviews WHERE action NOT IN ('correct','confirm')")
    op.drop_index("ix_reviews_created_at", "reviews")
    op.drop_index("ix_reviews_who_id", "reviews")
    for name in ("undoes", "held", "seconds", "keys", "shown_text", "shown"):
        op.drop_column("reviews", name)
    set_actions(OLD_ACTIONS)
    op.drop_table("review_tasks")


def set_actions(actions: str) -> None:
    """Put another list of actions in place of the one that the table of reviews allows."""
    with op.batch_alter_table("reviews", table_kwargs={"sqlite_autoincrement": True}) as reviews:
        reviews.drop_constraint(op.f("ck_reviews_action"), type_="check")
        reviews.create_check_constraint(op.f("ck_reviews_action"), actions)
