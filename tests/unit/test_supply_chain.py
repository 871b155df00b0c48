"""What a site installs: every package pinned with the hashes of its files, listed in an SBOM, and audited honestly."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
LOCKED = ("requirements.txt", "requirements-all.txt")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
MAKEFILE = (PROJECT / "Makefile").read_text()
EXTRAS = re.findall(r"^EXTRAS_OF_A_SITE = (.*)$", MAKEFILE, re.MULTILINE)[0].split()


def plain(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins_of(path: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {plain(name): version for name, version in found}


def names_of(requirements: list[str]) -> set[str]:
    return {plain(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in requirements}


@pytest.mark.parametrize("name", LOCKED)
def test_each_package_that_a_site_installs_is_pinned_as_it_was_tested_with_the_hashes_of_its_files(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (PROJECT / name).read_text().strip())
    assert all(re.match(r"[a-z0-9-]+==\S+ ", entry) for entry in entries)
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    tested, locked = pins_of(PROJECT / "constraints.txt"), pins_of(PROJECT / name)
    # Packages for other systems and Pythons are not installed where the pins are made.
    assert {n: v for n, v in locked.items() if n in tested} == {n: v for n, v in tested.items() if n in locked}
    assert set(locked) - set(tested) <= {"async-timeout", "setuptools", "tzdata", "pip"}


def test_nothing_that_the_worker_needs_is_missing_from_what_is_locked() -> None:
    worker, everything = (set(pins_of(PROJECT / name)) for name in LOCKED)
    assert names_of(PYPROJECT["dependencies"]) <= worker <= everything
    extras = PYPROJECT["optional-dependencies"]
    assert names_of([line for extra in EXTRAS for line in extras[extra]]) <= everything
    assert not names_of(extras["lint"] + extras["supply"]) & everything
    assert "setuptools" in worker, "else pip would fetch it, by no hash, to build the worker itself"


def test_every_extra_is_of_a_site_or_of_developers() -> None:
    assert set(PYPROJECT["optional-dependencies"]) - set(EXTRAS) == {
        "test", "peers", "lint", "docs", "supply", "train",
    }  # fmt: skip


def test_image_and_guide_install_by_hash_and_fetch_nothing_else() -> None:
    installs = re.findall(r"pip install (.*)$", (PROJECT / "Dockerfile").read_text(), re.MULTILINE)
    installs += re.findall(r"pip install (.*)$", (PROJECT / "docs/how-to/operate.md").read_text(), re.MULTILINE)
    assert len(installs) == 4
    for words in installs:
        assert "--require-hashes" in words or "--no-deps --no-build-isolation" in words
    for name in LOCKED:
        assert name in (PROJECT / "Dockerfile").read_text()


def test_the_sbom_lists_every_package_with_its_version_and_hashes(tmp_path: Path) -> None:
    (target,) = re.findall(r"^sbom:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    words = target.replace("\\\n", " ").split()
    options = words[words.index("requirements") :]
    options[options.index("build/sbom.json")] = str(tmp_path / "sbom.json")
    subprocess.run([sys.executable, "-W", "ignore", "-m", "cyclonedx_py", *options], cwd=PROJECT, check=True)
    sbom: dict[str, Any] = json.loads((tmp_path / "sbom.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    about = sbom["metadata"]["component"]
    assert (about["name"], about["version"]) == (PYPROJECT["name"], PYPROJECT["version"])
    listed = {plain(part["name"]): part for part in sbom["components"]}
    assert {name: part["version"] for name, part in listed.items()} == pins_of(PROJECT / "requirements-all.txt")
    text = (PROJECT / "requirements-all.txt").read_text()
    for name, part in listed.items():
        assert part["purl"].startswith(f"pkg:pypi/{name}@")
        hashes = [each["content"] for link in part["externalReferences"] for each in link.get("hashes", [])]
        assert hashes and all(f"sha256:{each}" in text for each in hashes)


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", PROJECT / ".ci" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SAFE = {"name": "numpy", "version": "2.4.6", "vulns": []}
HURT = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "celery", "skip_reason": "Dependency not found on PyPI and could not be audited: celery (5.7.0)"}


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        ([SAFE], 0, "1 of 1 packages were looked up; 0 vulnerabilities are known"),
        ([SAFE, HURT], 1, "pillow 1.0: CVE-2026-1, mended in 1.1"),
        ([UNKNOWN, SAFE], 3, "The data of 1 cannot be had here, so nothing is said of them: celery"),
        ([UNKNOWN, HURT], 1, "1 of 2 packages were looked up; 1 vulnerabilities"),
    ],
)
def test_an_audit_says_what_is_known_and_what_could_not_be_asked(
    audit: ModuleType, packages: list[dict[str, Any]], code: int, told: str
) -> None:
    lines, ended = audit.judge({"dependencies": packages})
    assert ended == code and told in "\n".join(lines)


@pytest.mark.parametrize(
    ("program", "code", "told"),
    [
        ("raise SystemExit('ConnectionError: nobody answers at pypi.org')", 3, "Nothing was looked up, so nothing is"),
        ("raise SystemExit(1)", 3, "pip-audit said nothing"),
        (f"print({json.dumps({'dependencies': [SAFE]})!r})", 0, "1 of 1 packages were looked up"),
        (f"print({json.dumps({'dependencies': [HURT]})!r}); raise SystemExit(1)", 1, "CVE-2026-1"),
    ],
)
def test_without_a_network_the_audit_says_that_nothing_was_asked(
    program: str, code: int, told: str, tmp_path: Path
) -> None:
    (tmp_path / "pip_audit.py").write_text(program)
    command = [sys.executable, str(PROJECT / ".ci" / "audit.py"), "requirements.txt"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code and told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
