"""No Docker engine runs here: the container files and the documents are held to the code by their words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from worker.cli import COMMANDS, icr
from worker.settings import Settings
from worker.system.local_token import is_loopback

PROJECT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
OURS = ("migrate", "worker", "watcher", "station", "metrics")
TOLD = sorted(
    path
    for pattern in (
        "Dockerfile",
        "docker-compose.yml",
        "Makefile",
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/**/*.md",
        "samples/*.md",
    )
    for path in PROJECT.glob(pattern)
)
SETTINGS = {f"ICR_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("path", TOLD, ids=lambda p: str(p.relative_to(PROJECT)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bICR_[A-Z][A-Z_]*[A-Z]\b", path.read_text()))
    assert named <= SETTINGS


@pytest.mark.parametrize("path", TOLD, ids=lambda p: str(p.relative_to(PROJECT)))
def test_every_command_that_is_named_exists_with_its_options(path: Path) -> None:
    for line in commands_in(path):
        check_command(line)


@pytest.mark.parametrize("path", [p for p in TOLD if p.suffix == ".md"], ids=lambda p: p.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_that_code_names_exists() -> None:
    """Comments and messages send readers to pages of the docs, which move."""
    lost = [
        (str(path.relative_to(PROJECT)), page)
        for root in ("worker", "schemas", "migrations", "tests")
        for path in (PROJECT / root).rglob("*.py")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
        if not (PROJECT / page).exists()
    ]
    assert lost == []


def commands_in(path: Path) -> Iterator[list[str]]:
    """Yield the words of every ``icr ...`` at the start of a line or in `backticks`."""
    text = path.read_text().replace("\\\n", " ")
    at_line_start = r"^\s*(?:\$ )?(?:@?\$\(BIN\)/|\.venv/bin/)?icr ([a-z].*)$"
    for pattern in (at_line_start, r"`(?:[\w./]*/)?icr ([a-z][^`]*)`"):
        for match in re.finditer(pattern, text, re.MULTILINE):
            yield words_of(match.group(1))
    if path.suffix == ".yml":
        yield from (c[1:] for name in OURS if (c := COMPOSE["services"][name]["command"])[0] == "icr")
        checks = [COMPOSE["services"][name].get("healthcheck", {}).get("test", []) for name in OURS]
        yield from (check[2:] for check in checks if check[1:2] == ["icr"])
    for match in re.finditer(r'\["icr", (.*)\]', text):
        yield [word.strip('"') for word in match.group(1).split(", ")]


def words_of(line: str) -> list[str]:
    """Split a line as a shell would, up to what follows the command."""
    words = re.split(r"\s[|>;#&]|\s{2,}|\)", line)[0]
    try:
        return shlex.split(words)
    except ValueError:
        return words.split()


def check_command(words: list[str]) -> None:
    command: click.Command = icr
    context = click.Context(icr)
    while isinstance(command, click.Group) and words:
        name, *rest = words
        found = command.get_command(context, name)
        if found is None and command is not icr:
            break  # a group's placeholder, such as NAME
        assert found is not None, f"no command 'icr {name}'"
        command, words = found, rest
    known = {"--help", *(option for p in command.params for option in (*p.opts, *p.secondary_opts))}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in known, f"'{command.name}' has no option {word}"


def test_the_test_itself_finds_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("    .venv/bin/icr frobnicate --now | less\n\nor `icr doctor --loudly`.\n")
    assert list(commands_in(page)) == [["frobnicate", "--now"], ["doctor", "--loudly"]]
    for words in commands_in(page):
        with pytest.raises(AssertionError):
            check_command(words)


def _as_parameter(name: str) -> object:
    trains = name in ("train", "evaluate", "train-fields", "evaluate-fields", "calibrate")
    return pytest.param(name, marks=pytest.mark.train) if trains else name


@pytest.mark.parametrize("name", [_as_parameter(name) for name in COMMANDS])
def test_every_command_of_the_command_line_can_be_loaded(name: str) -> None:
    assert icr.get_command(click.Context(icr), name) is not None


def test_services_wait_for_what_they_need() -> None:
    services = COMPOSE["services"]
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("worker", "watcher", "station", "metrics"):
        assert services[name]["depends_on"] == {
            "redis": {"condition": "service_healthy"},
            "postgres": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }
    for name in ("redis", "postgres", "worker", "watcher", "station", "metrics"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
    assert services["migrate"]["restart"] == "no"


def test_the_exporter_can_be_reached_from_inside_only() -> None:
    metrics = COMPOSE["services"]["metrics"]
    assert "ports" not in metrics
    assert metrics["environment"]["ICR_METRICS_HOST"] == "0.0.0.0"
    assert Settings().metrics_host == "127.0.0.1" and Settings().metrics_port is None


def test_the_station_is_reached_from_this_machine_only_and_asks_who_comes() -> None:
    station = COMPOSE["services"]["station"]
    assert station["ports"] == ["127.0.0.1:8017:8017"]
    assert not is_loopback(station["environment"]["ICR_SERVE_HOST"]), "else a token would do instead of a password"
    assert is_loopback(Settings().serve_host)


def test_redis_neither_forgets_nor_drops_jobs() -> None:
    words = COMPOSE["services"]["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


def test_what_must_last_lies_on_volumes() -> None:
    used = {v.split(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_the_worker_can_be_scaled_and_is_stopped_gently() -> None:
    worker = COMPOSE["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert int(worker["stop_grace_period"].removesuffix("s")) > Settings().shutdown_grace_s


def test_nothing_of_ours_runs_as_root_or_writes_outside_its_volume() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["icr"]
    assert "poppler-utils" in dockerfile
    assert "--constraint constraints.txt" in dockerfile
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_the_image_holds_every_package_that_is_installed() -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == ["migrations", "schemas", "worker"]
