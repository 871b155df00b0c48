"""The whole system on one machine: real Redis, real worker processes, real folder, SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support.system import Home, children_of, draw_scan, kill, processes_of, wait_until
from worker.commands.saying import counted
from worker.system.private_files import is_open_to_others

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    home.stop()
    wait_until(lambda: not processes_of(home.folder), 20, "no process is left behind")


def test_once_reads_what_is_there_and_tells_of_what_it_cannot(home: Home) -> None:
    """PDF, a template's folder, another one, the same scan twice, a damaged one: each ends where it belongs, once."""
    first = draw_scan(home.inbox / "field" / "a.png", 1)
    Image.open(first).convert("RGB").save(home.inbox / "b.pdf", resolution=100)
    (home.inbox / "field" / "same.png").write_bytes(first.read_bytes())
    (home.inbox / "damaged.png").write_bytes(first.read_bytes()[:200])
    (home.inbox / "no-such-form").mkdir()
    draw_scan(home.inbox / "no-such-form" / "c.png", 2)
    (home.inbox / ".hidden.png").write_bytes(first.read_bytes())
    (home.inbox / "link.png").symlink_to(first)
    os.mkfifo(home.inbox / "pipe.png")
    done = home.icr("up", "--once", timeout_s=120)
    assert done.returncode == 2, done.stderr + home.said()
    assert "3 scans read, 1 failed, 1 duplicate" in done.stdout
    assert home.states() == {"done": 3, "failed": 1, "duplicate": 1}
    assert home.rows("SELECT template FROM jobs WHERE uri LIKE '%no-such-form%'") == [(None,)]
    ((waiting,),) = home.rows("SELECT count(*) FROM fields WHERE final_text IS NULL")
    ((doubted,),) = home.rows("SELECT count(*) FROM page_review_queue")
    told = f"{counted(doubted, 'page')} and {counted(waiting, 'field')} await review: 'icr results --review'"
    assert (told in done.stdout) == bool(doubted or waiting), done.stdout
    ended = home.listed("done") + home.listed("duplicate")
    assert "b.pdf" in ended and len([n for n in ended if n in ("a.png", "same.png")]) == 2
    assert home.listed("failed") == ["damaged.png", "damaged.png.reason.txt"]
    assert "truncated PNG" in (home.inbox / "failed/damaged.png.reason.txt").read_text()
    assert (home.inbox / "done/no-such-form/c.png").exists()  # a folder of any name; the page finds its own form
    assert "damaged.png" in done.stdout
    ((fields,),) = home.rows("SELECT count(*) FROM fields JOIN pages ON page_id = pages.id WHERE template IS NULL")
    assert fields >= 1
    assert sorted(p.name for p in home.inbox.iterdir() if not p.is_dir()) == [
        ".hidden.png",
        "link.png",
        "pipe.png",
    ]
    again = home.icr("up", "--once", timeout_s=120)
    assert again.returncode == 0 and "0 scans read, 0 failed" in again.stdout
    ours = [path for path in home.folder.rglob("*") if not path.is_relative_to(home.inbox) and not path.is_socket()]
    assert {"icr.db", "logs", "worker.log", "redis", "redis.log"} <= {path.name for path in ours}
    assert [str(path) for path in ours if is_open_to_others(path)] == []


def test_a_killed_worker_costs_no_scan_and_doubles_none(home: Home) -> None:
    """SIGKILL of a child at work, then of the whole worker, then of everything: exactly one result a scan."""
    up = home.start("up")
    for i in range(30):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    wait_until(lambda: home.states().get("done", 0) >= 2, 60, home.said)
    worker = _worker_of(up)
    kill(children_of(worker)[0])
    wait_until(lambda: home.states().get("done", 0) >= 6, 60)
    kill(worker)
    wait_until(lambda: home.states().get("done", 0) >= 12, 60)
    kill(up.pid)
    up.wait()
    home.start("up")
    home.wait_for_states(done=30, timeout_s=90)
    _assert_one_result_each(home, 30)
    wait_until(lambda: len(home.listed("done")) == 30, 20)


def test_a_second_one_on_the_same_home_says_so_and_ctrl_c_leaves_nothing(home: Home) -> None:
    up = home.start("up")
    home.wait_for_worker()
    second = home.icr("up")
    assert second.returncode == 1 and "in use already" in second.stderr and str(up.pid) in second.stderr
    assert wait_until(lambda: home.icr("health").returncode == 0, 30) is True
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(30) == 0
    assert not processes_of(home.folder)
    assert home.icr("health").returncode == 1


def test_sigterm_under_load_hands_back_and_forgets_nothing(home: Home) -> None:
    up = home.start("up")
    for i in range(30):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    wait_until(lambda: home.states().get("done", 0) >= 1, 60, home.said)
    started = time.monotonic()
    up.terminate()
    assert up.wait(40) == 0
    assert time.monotonic() - started < 20
    assert not processes_of(home.folder)
    assert home.states().get("running", 0) == 0
    assert home.icr("up", "--once", timeout_s=120).returncode == 0
    _assert_one_result_each(home, 30)


def test_a_poison_scan_is_dead_after_three_deliveries_and_harms_no_other(home: Home, tmp_path: Path) -> None:
    """A template that makes its reader die stands in for a scan that does."""
    home.env["PYTHONPATH"] = str(_poison(tmp_path))
    for i in range(4):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    draw_scan(home.inbox / "field" / "poison.png", 666)
    done = home.icr("up", "--once", timeout_s=150)
    assert done.returncode == 2, done.stderr + home.said()
    assert home.states() == {"done": 4, "dead": 1}
    ((deliveries, reason),) = home.rows("SELECT deliveries, error_reason FROM jobs WHERE state = 'dead'")
    assert deliveries == 3 and "3 times" in reason
    assert home.listed("failed") == ["poison.png", "poison.png.reason.txt"]


def test_a_scan_that_hangs_meets_the_time_limit(home: Home, tmp_path: Path) -> None:
    home.env |= {
        "PYTHONPATH": str(_poison(tmp_path)),
        "ICR_JOB_TIME_LIMIT_S": "5",
        "ICR_VISIBILITY_TIMEOUT_S": "30",
    }
    draw_scan(home.inbox / "field" / "sleep.png", 1)
    draw_scan(home.inbox / "field" / "fine.png", 2)
    done = home.icr("up", "--once", timeout_s=120)
    assert done.returncode == 2, done.stderr + home.said()
    ((reason,),) = home.rows("SELECT error_reason FROM jobs WHERE state = 'failed'")
    assert reason == "took longer than 5 s (ICR_JOB_TIME_LIMIT_S)"
    assert home.states() == {"done": 1, "failed": 1}


def test_a_done_folder_that_cannot_be_written_stops_nothing(home: Home) -> None:
    (home.inbox / "done").symlink_to("/dev/null/nowhere")
    draw_scan(home.inbox / "field" / "a.png", 1)
    home.start("up")
    home.wait_for_states(done=1)
    wait_until(lambda: "cannot be moved" in home.said(), 20)
    assert list((home.inbox / ".working").rglob("a.png"))
    (home.inbox / "done").unlink()
    wait_until(lambda: home.listed("done") == ["a.png"], 30, home.said)


def test_the_reconciler_brings_back_what_redis_forgot(home: Home) -> None:
    """Redis flushed under load: every row that it held a message of is published again."""
    up = home.start("up")
    for i in range(30):
        draw_scan(home.inbox / "field" / f"{i}.png", i)
    wait_until(lambda: home.states().get("queued", 0) >= 8, 60, home.said)
    with _redis(home) as client:
        client.flushall()
    home.wait_for_states(done=30, timeout_s=90)
    _assert_one_result_each(home, 30)
    assert up.poll() is None


def test_a_failed_scan_of_the_folder_can_be_tried_again(home: Home) -> None:
    draw_scan(home.inbox / "later" / "a.png", 1)
    home.env["ICR_MAX_MEGAPIXELS"] = "0.0001"
    assert home.icr("up", "--once", timeout_s=120).returncode == 2, home.said()
    ((job_id,),) = home.rows("SELECT id FROM jobs WHERE state = 'failed'")
    retried = home.icr("retry", job_id)
    assert retried.returncode == 0 and f"{job_id}  queued" in retried.stdout
    assert home.listed("failed") == [] and list((home.inbox / ".working").rglob("a.png"))
    del home.env["ICR_MAX_MEGAPIXELS"]
    assert home.icr("up", "--once", timeout_s=120).returncode == 0, home.said()
    assert home.listed("done") == ["a.png"] and home.states() == {"done": 1}


def _worker_of(up: subprocess.Popen[bytes]) -> int:
    for pid in children_of(up.pid):
        if b"worker\x00worker\x00" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no worker runs")


def _assert_one_result_each(home: Home, scans: int) -> None:
    assert home.states() == {"done": scans}
    assert home.rows("SELECT count(*), count(DISTINCT job_id) FROM pages") == [(scans, scans)]
    assert home.rows("SELECT count(*), count(DISTINCT scan_id) FROM jobs") == [(scans, scans)]


def _redis(home: Home):  # type: ignore[no-untyped-def]
    import redis

    return redis.Redis(unix_socket_path=str(home.folder / "redis" / "redis.sock"))


def _poison(folder: Path) -> Path:
    """Write a module that Python loads by itself, with which two file names kill or hang their reader."""
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "def watch(event, args):\n"
        "    if event == 'open' and sys.orig_argv[-1] == 'worker' and isinstance(args[0], (str, Path)):\n"
        "        name = os.path.basename(os.fspath(args[0]))\n"
        "        if name == 'poison.png':\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        if name == 'sleep.png':\n"
        "            time.sleep(60)\n"
        "sys.addaudithook(watch)\n"
    )
    return folder
