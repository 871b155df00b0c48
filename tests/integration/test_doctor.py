"""``icr doctor`` tells a machine that works from one that does not, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mail import PASSWORD, USER, mail_server
from worker.bootstrap import build_runtime
from worker.commands.doctor import check_barcodes, check_mailbox
from worker.errors import SettingsError
from worker.rasterizer import find_poppler
from worker.settings import Settings
from worker.system.private_redis import PrivateRedis


def run_doctor(home: Path, **settings: str) -> tuple[int, dict[str, list[str]]]:
    """Run the command; return its exit code and its lines by subject."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ICR_")}
    answer = subprocess.run(
        [sys.executable, "-m", "worker", "doctor"],
        env={**kept, "ICR_HOME": str(home), **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines: dict[str, list[str]] = {}
    for line in answer.stdout.splitlines():
        mark, subject, told = line.split(maxsplit=2)
        lines.setdefault(subject, []).append(f"{mark} {told}")
    return answer.returncode, lines


@pytest.mark.skipif(find_poppler() is not None, reason="poppler is not installed")
def test_a_fresh_machine_is_well(tmp_path: Path) -> None:
    code, lines = run_doctor(tmp_path / "var")
    assert code == 0, lines
    assert {"settings", "poppler", "models", "templates", "redis", "database", "folder"} <= set(lines)
    assert all(line.startswith("ok") for told in lines.values() for line in told)
    assert "checksums agree" in lines["models"][0]


def test_a_running_redis_is_asked_for_its_promises(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path / "var")
    server.start()
    try:
        _, lines = run_doctor(tmp_path / "var")
        assert "keeps its log, evicts nothing" in lines["redis"][0]
        with_redis = {"ICR_BROKER_URL": f"unix://{server.socket}"}
        import redis

        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
            code, lines = run_doctor(tmp_path / "var", **with_redis)
            assert code == 1
            assert "maxmemory-policy noeviction" in lines["redis"][0]
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "no")
            assert "appendonly yes" in run_doctor(tmp_path / "var", **with_redis)[1]["redis"][0]
    finally:
        server.stop()


def test_each_fault_is_named_with_what_to_do_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, lines = run_doctor(
        tmp_path / "var",
        ICR_BROKER_URL="redis://:hush@127.0.0.1:1/0",
        ICR_DATABASE_URL="postgresql://icr:hush@127.0.0.1:1/icr",
        ICR_INBOX=str(tmp_path / "file"),
        ICR_SCAN_ROOTS=str(tmp_path / "nowhere"),
        ICR_TEMPLATES=str(tmp_path / "nowhere"),
        PATH=str(tmp_path),
    )
    assert code == 1
    assert "apt install poppler-utils" in lines["poppler"][0]
    assert "mend ICR_BROKER_URL" in lines["redis"][0]
    assert lines["database"][0].startswith("bad")
    assert "no such folder of templates" in lines["templates"][0]
    assert any("is not a folder" in line for line in lines["folder"])
    assert any("ICR_SCAN_ROOTS" in line for line in lines["folder"])
    assert "hush" not in str(lines)


def test_the_mailbox_and_the_reader_of_codes_are_asked(tmp_path: Path) -> None:
    with mail_server() as port:
        settings = {"HOST": "127.0.0.1", "PORT": str(port), "SECURITY": "none", "USER": USER, "PASSWORD": PASSWORD}
        named = {f"ICR_MAIL_{name}": value for name, value in settings.items()}
        code, lines = run_doctor(tmp_path / "var", ICR_SEPARATORS="ask", **named)
        assert lines["mailbox"] == [f"ok 127.0.0.1 lets {USER} in; 0 messages wait in INBOX"]
        assert lines["barcodes"] == ["ok codes of separator sheets can be read"]
        assert code == 0, lines
        code, lines = run_doctor(tmp_path / "var", **{**named, "ICR_MAIL_PASSWORD": "hush-wrong"})
        assert code == 1 and lines["mailbox"][0].startswith("bad") and "hush" not in str(lines)
        assert "barcodes" not in lines, "nobody asked for it"


def test_without_their_extras_the_doctor_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = build_runtime(Settings(home=tmp_path, mail_host="m.example", mail_user="u", mail_password="p"))
    monkeypatch.setitem(sys.modules, "imap_tools", None)
    with pytest.raises(SettingsError, match=r"pip install '.\[mail\]'"):
        check_mailbox(runtime)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install '.\[barcodes\]'"):
        check_barcodes()


def test_a_setting_that_does_not_exist_is_found(tmp_path: Path) -> None:
    code, lines = run_doctor(tmp_path, ICR_INBOKS="/tmp/inbox")
    assert code == 1
    assert "ICR_INBOKS" in lines["settings"][0]


def test_a_database_of_another_revision_is_found(tmp_path: Path) -> None:
    from worker.store.engine import make_engine, upgrade_database

    home = tmp_path / "var"
    engine = make_engine(f"sqlite:///{home / 'icr.db'}")
    upgrade_database(engine)
    assert "at revision" in run_doctor(home)[1]["database"][0]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'older'")
    assert "icr migrate" in run_doctor(home)[1]["database"][0]
