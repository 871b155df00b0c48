"""No Docker engine runs here: the container files and the documents are held to the code by their words."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jsonschema import Draft7Validator
from sqlalchemy.pool import QueuePool

from worker.bootstrap import read_settings
from worker.cli import COMMANDS, icr
from worker.queue.beats import silence_limit_s
from worker.settings import Settings
from worker.store.engine import make_engine
from worker.system.local_token import is_loopback

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
COMPOSERS = (("docker", "compose"), ("docker-compose",))
OURS = ("migrate", "worker", "watcher", "station", "mail", "metrics")
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
    for name in ("worker", "watcher", "station", "mail", "metrics"):
        assert services[name]["depends_on"] == {
            "redis": {"condition": "service_healthy"},
            "postgres": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
        }
    for name in ("redis", "postgres", "worker", "watcher", "station", "mail", "metrics"):
        assert services[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
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


def test_the_mailbox_is_watched_only_where_somebody_asks_for_it_by_an_image_with_its_extra() -> None:
    mail, image = COMPOSE["services"]["mail"], COMPOSE["services"]["worker"]["build"]
    assert mail["profiles"] == ["mail"] and mail["command"] == ["icr", "mail", "watch"]
    assert "icr_mail_password" in mail["secrets"] and "icr_database_url" in mail["secrets"]
    assert [name for name in OURS if "icr_mail_password" in COMPOSE["services"][name]["secrets"]] == ["mail"]
    assert image["args"] == {"REQUIREMENTS": "${REQUIREMENTS:-requirements.txt}"}
    everything = (PROJECT / "requirements-all.txt").read_text()
    assert "imap-tools==" in everything and "zxing-cpp==" in everything
    assert {COMPOSE["services"][name]["environment"]["ICR_SEPARATORS"] for name in OURS} == {"${ICR_SEPARATORS:-off}"}


def test_redis_neither_forgets_nor_drops_jobs() -> None:
    words = COMPOSE["services"]["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


def test_what_must_last_lies_on_volumes() -> None:
    used = {v.split(":")[0] for s in COMPOSE["services"].values() for v in s.get("volumes", [])}
    assert {name for name in used if not name.startswith("./")} == set(COMPOSE["volumes"])


def test_what_a_site_brings_is_mounted_read_only_where_the_settings_look_for_it() -> None:
    for name in OURS:
        service = COMPOSE["services"][name]
        mounted = dict(volume.split(":")[::-1][1:] for volume in service["volumes"] if volume.endswith(":ro"))
        assert mounted == {"/templates": "./templates", "/scans": "./scans"}
        assert service["environment"]["ICR_TEMPLATES"] == "/templates"
        assert service["environment"]["ICR_SCAN_ROOTS"] == "/scans"


def test_secrets_are_files_that_the_settings_know_and_no_password_stands_in_the_file() -> None:
    named = {secret for service in COMPOSE["services"].values() for secret in service.get("secrets", [])}
    assert named == set(COMPOSE["secrets"])
    assert {name.upper() for name in named if name.startswith("icr_")} <= SETTINGS
    postgres = COMPOSE["services"]["postgres"]["environment"]
    assert postgres["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    variables = {name for s in COMPOSE["services"].values() for name in s.get("environment", {})}
    assert not {name for name in variables if re.search("PASSWORD$|_KEY$|DATABASE_URL", name)}
    text = (PROJECT / "docker-compose.yml").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"] == f"./secrets/{name}" and f"> secrets/{name}" in text


def test_a_setting_may_stand_in_a_file_and_the_environment_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "icr_database_url").write_text("postgresql://icr:hush@postgres/icr\n")
    (tmp_path / "icr_max_pages").write_text("7")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("ICR_MAX_PAGES", "9")
    settings = read_settings()
    assert (settings.database_url, settings.max_pages) == ("postgresql://icr:hush@postgres/icr", 9)


def test_memory_and_connections_are_enough_for_what_the_settings_allow() -> None:
    services, settings = COMPOSE["services"], Settings()
    children = dict.fromkeys(("watcher", "station"), 1) | {
        "mail": 2,
        "worker": int(_environment("worker")["ICR_CONCURRENCY"]),
    }
    for name, count in children.items():
        assert _megabytes(services[name]["mem_limit"]) >= count * settings.job_memory_mb + 512
    assert all("mem_limit" in services[name] for name in services if name != "migrate")
    redis = services["redis"]["command"]
    assert 2 * _megabytes(redis[redis.index("--maxmemory") + 1].removesuffix("b")) <= _megabytes(
        services["redis"]["mem_limit"]
    )
    pool = make_engine("postgresql://icr@postgres/icr").pool
    assert isinstance(pool, QueuePool)
    (told,) = [word for word in services["postgres"]["command"] if word.startswith("max_connections=")]
    assert int(told.partition("=")[2]) >= 32 * (pool.size() + pool._max_overflow)


def test_probes_start_no_python_and_ask_where_the_parts_answer() -> None:
    beat = _environment("worker")["ICR_BEAT_FILE"]
    for name in ("worker", "watcher", "mail"):
        probe = COMPOSE["services"][name]["healthcheck"]["test"][1]
        assert f"find {beat} " in probe
        assert int(re.findall(r"-mmin -(\d+)", probe)[0]) * 60 > silence_limit_s(Settings())
    ports = {"station": Settings().serve_port, "metrics": _environment("metrics")["ICR_METRICS_PORT"]}
    for name, port in ports.items():
        assert f"/dev/tcp/127.0.0.1/{port};" in COMPOSE["services"][name]["healthcheck"]["test"][-1]


def test_users_of_image_and_containers_are_the_same() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert "groupadd --gid 10001 icr && useradd --uid 10001 --gid 10001" in dockerfile
    assert {COMPOSE["services"][name]["user"] for name in OURS} == {"10001:10001"}


SCHEMA = json.loads((PROJECT / "tests/support/compose_spec/compose-spec.json").read_text())


def test_the_file_keeps_the_schema_of_the_compose_specification() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(COMPOSE)] == []


@pytest.mark.parametrize("service", COMPOSE["services"])
@pytest.mark.parametrize(
    "wrong",
    [{"mem_limits": "1g"}, {"healthcheck": {"tests": []}}, {"secrets": "a"}, {"ports": [{"a": 1}]}, {"command": 7},
     {"depends_on": {"redis": {"condition": "healthy"}}}, {"restart": 1}],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_the_schema_would_find_a_mistake(service: str, wrong: dict[str, Any]) -> None:
    services = COMPOSE["services"] | {service: COMPOSE["services"][service] | wrong}
    assert not Draft7Validator(SCHEMA).is_valid(COMPOSE | {"services": services})


def test_whatever_a_service_names_is_there() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services) - {name}
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        hosts = set(re.findall(r"//(\w+)[:/]", " ".join(service.get("environment", {}).values())))
        assert hosts <= set(services)
    assert "@postgres/icr" in TEXT and COMPOSE["services"]["postgres"]["environment"]["POSTGRES_DB"] == "icr"
    scaled = dict(re.findall(r"--scale (\w+)=(\d+)", TEXT))
    named = set(re.findall(r"docker compose (?:exec|cp \S+) (\w+)[ :]", TEXT)) | set(scaled)
    assert named and named <= set(services)


@pytest.mark.parametrize("command", COMPOSERS, ids=" ".join)
def test_docker_compose_takes_the_file(command: tuple[str, ...], tmp_path: Path) -> None:
    if not shutil.which(command[0]) or subprocess.run([*command, "version"], capture_output=True).returncode != 0:
        pytest.skip(f"no {' '.join(command)}")
    shutil.copy(PROJECT / "docker-compose.yml", tmp_path)
    (tmp_path / "secrets").mkdir()
    for name in COMPOSE["secrets"]:
        (tmp_path / "secrets" / name).touch()
    subprocess.run([*command, "config", "--quiet"], cwd=tmp_path, check=True)


def _environment(service: str) -> dict[str, str]:
    environment: dict[str, str] = COMPOSE["services"][service]["environment"]
    return environment


def _megabytes(size: str) -> int:
    return int(size[:-1]) * (1024 if size[-1] == "g" else 1)


def test_the_worker_can_be_scaled_and_is_stopped_gently() -> None:
    worker = COMPOSE["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker
    assert int(worker["stop_grace_period"].removesuffix("s")) > Settings().shutdown_grace_s


def test_nothing_of_ours_runs_as_root_or_writes_outside_its_volume() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["icr"]
    assert "poppler-utils" in dockerfile
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_the_image_holds_every_package_that_is_installed() -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == ["migrations", "schemas", "worker"]
