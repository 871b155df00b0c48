"""What Alembic runs: on the engine that ``worker.store.engine`` hands over, else on that of the settings."""

from alembic import context
from sqlalchemy import Connection

from worker.settings import Settings
from worker.store.engine import make_engine, writing
from worker.store.service_tables import Base

POSTGRESQL_LOCK = 0x1C8_DB  # any number of our own: two programs that start together migrate in turn


def migrate(connection: Connection) -> None:
    """Run what is missing in the transaction that is open: a crash leaves the old revision whole."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({POSTGRESQL_LOCK})")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot alter a column in place
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


engine = context.config.attributes.get("engine")
if engine is None:
    settings = Settings()
    engine = make_engine(settings.database_url or f"sqlite:///{settings.home / 'icr.db'}")
with writing(engine) as connection:
    migrate(connection)
