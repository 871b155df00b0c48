"""Form templates that are being designed: each in a folder of its own under the home, until it is saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from schemas.form_template import FormTemplate, TemplateName
from schemas.mistakes import Mistake, list_mistakes
from worker.bootstrap import Runtime
from worker.errors import InvalidJobError, UnreadableScanError
from worker.system.whole_files import written_whole

DRAFT_S = 120
"""Longest time that drafting or reading a page may take."""
SCAN, PAGE, TEMPLATE = "scan", "page.png", "template.json"


@dataclass(frozen=True, slots=True)
class Design:
    """One template in the making."""

    name: str
    folder: Path

    @property
    def scan(self) -> Path:
        """Return the scan that it was drafted from."""
        return self.folder / SCAN

    @property
    def page(self) -> Path:
        """Return the picture of the scan, brought onto the template."""
        return self.folder / PAGE

    def template(self) -> dict[str, Any]:
        """Return the template as it stands."""
        found: dict[str, Any] = json.loads((self.folder / TEMPLATE).read_text("utf-8"))
        return found

    def keep(self, template: dict[str, Any]) -> None:
        """Keep the template as it stands, finished or not."""
        write_whole(self.folder / TEMPLATE, json.dumps(template, indent=1, ensure_ascii=False))


def checked_name(name: str) -> str:
    """Return a name that a template may have.

    Raises
    ------
    InvalidJobError
        It is none; says why.
    """
    try:
        return TypeAdapter(TemplateName).validate_python(name)
    except ValidationError as error:
        raise InvalidJobError(f"{name!r} is no name of a template: small letters, digits and '-'") from error


def find_design(runtime: Runtime, name: str) -> Design | None:
    """Return the design of a name, None where there is none."""
    design = Design(checked_name(name), designs_folder(runtime) / checked_name(name))
    return design if (design.folder / TEMPLATE).exists() else None


def list_designs(runtime: Runtime) -> list[str]:
    """Return the names of the templates in the making."""
    folder = designs_folder(runtime)
    return sorted(path.parent.name for path in folder.glob(f"*/{TEMPLATE}")) if folder.is_dir() else []


def draft_design(runtime: Runtime, name: str, scan: bytes, how: str) -> Design:
    """Draft a template from the bytes of a scan; ``how`` is ``blank``, ``filled`` or empty, where the print tells.

    Raises
    ------
    InvalidJobError
        The name is none, or there is a template of that name already.
    UnreadableScanError
        The scan cannot be decoded, or shows no box.
    """
    name = checked_name(name)
    if name in runtime.templates() or find_design(runtime, name):
        raise InvalidJobError(f"there is a template {name} already: choose another name")
    folder = designs_folder(runtime) / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        (folder / SCAN).write_bytes(scan)
        run_apart(["worker.review.drafting", str(folder / SCAN), str(folder), name, *([how] if how else [])])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Design(name, folder)


def read_design(design: Design) -> dict[str, Any]:
    """Read the scan of a design by its template as it stands; return the page as ``icr read`` prints it."""
    command = ["worker", "read", str(design.scan), "--template", str(design.folder / TEMPLATE), "--format", "jsonl"]
    said = run_apart(command)
    page: dict[str, Any] = json.loads(said.splitlines()[0])
    return page


def find_problems(template: dict[str, Any]) -> list[dict[str, str]]:
    """Return what is wrong with a template, each with the field that is meant; none where it may be saved."""
    try:
        FormTemplate.model_validate(template)
    except ValidationError as error:
        return [_describe(template, mistake) for mistake in list_mistakes(error, template)]
    return []


def save_design(runtime: Runtime, design: Design) -> Path:
    """Put a finished template where workers find it, and forget the design with its scan; return the file."""
    path = runtime.own_templates / f"{design.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(design.template(), indent=1, ensure_ascii=False) + "\n")
    discard_design(design)
    return path


def discard_design(design: Design) -> None:
    """Forget a design and its scan."""
    shutil.rmtree(design.folder)


def designs_folder(runtime: Runtime) -> Path:
    """Return where the designs lie."""
    return runtime.home / "designs"


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    with written_whole(path) as place:
        place.write_text(text, "utf-8")


def run_apart(module: list[str]) -> str:
    """Run a module of ours in a process of its own; return what it prints.

    Raises
    ------
    UnreadableScanError
        It failed or took too long; says why in its own words.
    """
    command = [sys.executable, "-m", *module]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DRAFT_S, check=False)  # noqa: S603 - our own modules
    except subprocess.TimeoutExpired as error:
        raise UnreadableScanError(f"the page took longer than {DRAFT_S} s") from error
    if ended.returncode and not ended.stdout.strip():
        said = ended.stderr.strip().splitlines() or ["its decoder crashed"]
        raise UnreadableScanError(said[-1].removeprefix("icr: "))
    return ended.stdout


def _describe(template: dict[str, Any], mistake: Mistake) -> dict[str, str]:
    """Say what is wrong, and with which field: a check of our own leads there itself."""
    path = mistake.inside or mistake.path
    depth = {"fields": 2, "rows": 4}.get(str(path[0]), 0) if path else 0
    found: Any = template
    for step in path[:depth] if depth <= len(path) else ():
        found = found[step]
    field = str(found.get("name", "")) if depth and found is not template and isinstance(found, dict) else ""
    where = ".".join(map(str, path[depth:] if field else path))
    return {"field": field, "words": f"{where} {mistake.words}" if where and not mistake.inside else mistake.words}
