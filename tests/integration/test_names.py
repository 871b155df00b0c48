"""Names of processes and of parts: who is dead is known, and no two share a name, though their hosts do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from worker.queue.beats import beat_ages, free_name, keep_name, name_here, record_beat, take_name
from worker.system import process_identity
from worker.system.process_identity import is_dead, name_process


def elsewhere(monkeypatch: pytest.MonkeyPatch, boot: str = "another boot") -> None:
    """Be a process of another machine with the same host name, as a clone, or a container on the host's network."""
    host = os.uname().nodename
    monkeypatch.setattr(process_identity, "_machine", lambda: f"{host}~{boot}~1")


def test_a_process_of_another_machine_with_our_host_name_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
        ours = name_process(gone.pid)
    assert is_dead(ours)
    elsewhere(monkeypatch)
    assert not is_dead(ours), "its process ids are not ours to see"


def test_a_machine_is_named_by_its_boot_and_its_space_of_process_ids(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Clones differ in the boot, and containers on the host's network in the space."""
    told = {"/proc/sys/kernel/random/boot_id": tmp_path / "boot", "/proc/self/ns/pid": tmp_path / "space"}
    monkeypatch.setattr(process_identity, "Path", lambda path: Path(told.get(path, path)))
    names = []
    for boot, space in (("one", "a"), ("another", "a"), ("one", "b")):
        (tmp_path / "boot").write_text(f"{boot}-boot\n")
        (tmp_path / space).touch()
        told["/proc/self/ns/pid"] = tmp_path / space
        names.append(process_identity._machine.__wrapped__())
    assert len(set(names)) == 3 and all(name.startswith(os.uname().nodename + "~") for name in names)
    told["/proc/self/ns/pid"] = tmp_path / "missing"
    assert process_identity._machine.__wrapped__() == os.uname().nodename


def test_two_workers_of_one_host_name_have_names_of_their_own(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take_name(redis_client, "worker", patience_s=0.6)
    with monkeypatch.context() as there:
        elsewhere(there)
        assert first == name_here("worker")
        keep_name(redis_client, first, patience_s=30)  # by the first, meanwhile
        second = take_name(redis_client, "worker", patience_s=0.1)
    assert second == name_here("worker-2")


def test_the_name_of_a_dead_worker_is_free_at_once_and_that_of_a_vanished_machine_in_time(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = redis_client.connection_pool.connection_kwargs["path"]
    program = (
        "import redis; from worker.queue.beats import take_name;"
        f"take_name(redis.Redis(unix_socket_path={url!r}, decode_responses=True), 'worker', patience_s=60)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert take_name(redis_client, "worker", patience_s=60) == name_here("worker")
    with monkeypatch.context() as there:
        elsewhere(there)
        free_name(redis_client, name_here("worker"))
        assert redis_client.exists(f"icr:name:{name_here('worker')}"), "it belongs to another"
        take_name(redis_client, "watcher", patience_s=0.7)
    assert take_name(redis_client, "watcher", patience_s=0.8) == name_here("watcher"), (
        "its holder has said nothing since"
    )
    record_beat(redis_client, name_here("watcher"))
    free_name(redis_client, name_here("watcher"))
    assert beat_ages(redis_client) == {}
