"""Form templates from JSON files: the shipped ones and a user's own; every mistake is named with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path

from pydantic import ValidationError

import schemas
from schemas.form_template import FormTemplate
from schemas.rules import CheckDigitRule
from worker.checks.policy import CheckPolicy
from worker.decision import find_check
from worker.errors import InvalidTemplateError, UnknownTemplateError, UnreadableScanError
from worker.page_kinds import CheckPage, FreePage, LoneField, PageKind
from worker.values import FormPages

SHIPPED_DIR = Path(schemas.__file__).parent / "templates"
MAX_TEMPLATE_BYTES = 2_000_000
MOST_STRETCH = 0.03
"""A reference picture's sides may differ from the page's proportions by a scanner's feed."""
FEWEST_LANDMARKS = 3


def load_templates(folder: Path | None = None) -> dict[str, FormTemplate]:
    """Return the shipped templates and those of ``folder`` by name; one of the folder goes before a shipped one.

    Raises
    ------
    InvalidTemplateError
        A file breaks the schema, or two of one folder have the same name; says where.
    """
    known = _load_folder(SHIPPED_DIR)
    if folder is not None:
        if not folder.is_dir():
            raise InvalidTemplateError(f"{folder}: no such folder of templates")
        known |= _load_folder(folder)
    return known


def find_template(name_or_file: str, known: dict[str, FormTemplate]) -> FormTemplate:
    """Return a known template by its name, or the template of a ``.json`` file.

    Raises
    ------
    UnknownTemplateError
        No template has that name; names the known ones.
    """
    if name_or_file in known:
        return known[name_or_file]
    if name_or_file.endswith(".json"):
        return load_template(Path(name_or_file))
    raise UnknownTemplateError(f"no template {name_or_file!r}; known are: {', '.join(sorted(known)) or 'none'}")


def find_page_kind(name: str | None, known: dict[str, FormTemplate], checks: CheckPolicy) -> PageKind:
    """Return what a page of that name is: a page of a form, or ``field``, ``free`` or ``check``; None: of any form.

    Raises
    ------
    UnknownTemplateError
        Nothing has that name; names the known forms and templates.
    """
    if name is None:
        return FormPages(tuple(known.values()))
    formless: dict[str, PageKind] = {"field": LoneField(), "free": FreePage(), "check": CheckPage(checks)}
    return formless.get(name) or find_form(name, known)


def find_form(name_or_file: str, known: dict[str, FormTemplate]) -> FormPages:
    """Return the pages of a known form, in their order, with what else a page may be; or one template's page.

    Raises
    ------
    UnknownTemplateError
        No form and no template has that name; names the known ones.
    """
    pages = tuple(sorted((t for t in known.values() if t.form == name_or_file), key=lambda t: t.page or 0))
    if not pages:
        try:
            pages = (find_template(name_or_file, known),)
        except UnknownTemplateError as error:
            forms = sorted({t.form for t in known.values() if t.form})
            raise UnknownTemplateError(f"{error}" + (f"; forms: {', '.join(forms)}" if forms else "")) from error
    return FormPages(pages, name_or_file, tuple(t for t in known.values() if t not in pages))


def load_template(path: Path) -> FormTemplate:
    """Read one template file.

    Raises
    ------
    InvalidTemplateError
        With the file, the line and the meaning of every mistake, one a line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidTemplateError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_TEMPLATE_BYTES:
        raise InvalidTemplateError(f"{path}: {len(content)} bytes are too many for a template")
    try:
        text = content.decode("utf-8-sig")
        raw = json.loads(text)
    except UnicodeDecodeError as error:
        raise InvalidTemplateError(f"{path}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InvalidTemplateError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidTemplateError(f"{path}: not a template: nested too deep") from error
    try:
        template = FormTemplate.model_validate_json(text)
    except ValidationError as error:
        raise InvalidTemplateError("\n".join(_mistakes(path, text, raw, error))) from error
    _refuse_unknown_schemes(path, text, template)
    return template if template.reference is None else _with_reference(path, text, template)


def _with_reference(path: Path, text: str, template: FormTemplate) -> FormTemplate:
    """Return the template with the print of its reference picture as its landmarks."""
    from worker.forms.drafting import find_landmarks  # OpenCV, and only where a template has a picture
    from worker.rasterizer import open_pages
    from worker.rasterizer.limits import RasterLimits

    picture = path.parent / str(template.reference)
    place = f"{path}, line {_line_of(text, ('reference',))}: reference: "
    try:
        page = next(open_pages(picture, scan_id=picture.name, limits=RasterLimits()), None)
    except UnreadableScanError as error:
        raise InvalidTemplateError(f"{place}{error}") from error
    if page is None:
        raise InvalidTemplateError(f"{place}{picture} has no page")
    height, width = page.grey.shape
    stretch = (width / template.page_mm[0]) / (height / template.page_mm[1])
    if abs(stretch - 1) > MOST_STRETCH:
        said = f"{width} x {height} pixels are not the proportions of {template.page_mm[0]} x {template.page_mm[1]} mm"
        raise InvalidTemplateError(f"{place}{said}")
    landmarks = find_landmarks(page.grey, template.page_mm)
    if len(landmarks) < FEWEST_LANDMARKS:
        raise InvalidTemplateError(f"{place}{len(landmarks)} printed boxes and lines are too few to be found by")
    return template.model_copy(update={"landmarks": landmarks})


def _refuse_unknown_schemes(path: Path, text: str, template: FormTemplate) -> None:
    for i, spec in enumerate(template.fields):
        for j, rule in enumerate(spec.rules):
            if isinstance(rule, CheckDigitRule) and find_check(rule.scheme) is None:
                line = _line_of(text, ("fields", i, "rules", j, "scheme"))
                raise InvalidTemplateError(
                    f"{path}, line {line}: field {spec.name}: python-stdnum knows no check {rule.scheme!r}"
                )


def _load_folder(folder: Path) -> dict[str, FormTemplate]:
    found: dict[str, FormTemplate] = {}
    for path in sorted(folder.glob("*.json")):
        template = load_template(path)
        if template.name in found:
            raise InvalidTemplateError(f"{path}: another template of this folder is named {template.name!r} too")
        found[template.name] = template
    for template in found.values():
        _refuse_confused_pages(folder, template, found)
    return found


def _refuse_confused_pages(folder: Path, template: FormTemplate, found: dict[str, FormTemplate]) -> None:
    """Refuse two templates for one page of a form, and a form that has the name of another form's template."""
    if template.form is None:
        return
    same = [t.name for t in found.values() if (t.form, t.page) == (template.form, template.page)]
    if len(same) > 1:
        raise InvalidTemplateError(f"{folder}: {' and '.join(same)} are both page {template.page} of {template.form}")
    namesake = found.get(template.form)
    if namesake is not None and namesake.form != template.form:
        raise InvalidTemplateError(
            f"{folder}: {template.name} is a page of {template.form!r}, which is the name of another template"
        )


def _mistakes(path: Path, text: str, raw: object, error: ValidationError) -> Iterable[str]:
    problems = error.errors(include_url=False)
    for problem in problems:
        if any(p["loc"][: len(problem["loc"])] == problem["loc"] != p["loc"] for p in problems):
            continue  # pydantic also complains of the list that the mistake is in
        loc = tuple(part for part in problem["loc"] if not _is_tag(part, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key {loc[-1]!r}"
        elif problem["type"] == "missing":
            message = f"{loc[-1]!r} is missing"
            loc = loc[:-1]
        if not loc:
            yield f"{path}, line {_line_of(text, _place_named(message, raw))}: {message}"
        else:
            yield f"{path}, line {_line_of(text, loc)}: {_spell(loc, raw)}: {message}"


def _is_tag(part: int | str, loc: tuple[int | str, ...]) -> bool:
    """Tell the rule's name that pydantic writes into the place of a mistake: ('rules', 0, 'range', 'min')."""
    at = loc.index(part)
    return at >= 2 and loc[at - 2] == "rules" and isinstance(part, str)


def _place_named(message: str, raw: object) -> tuple[int | str, ...]:
    """Return the place that a check of the whole template names: 'field f07: ...', 'landmark 3: ...', 'rule 0: ...'."""
    match = re.match(r"(field|landmark|rule) (\S+):", message)
    if not match or not isinstance(raw, dict):
        return ()
    what, which = match.groups()
    if what != "field":
        return f"{what}s", int(which)
    names = [f.get("name") for f in raw["fields"]]
    return "fields", len(names) - 1 - names[::-1].index(which)


def _spell(loc: tuple[int | str, ...], raw: object) -> str:
    """('fields', 3, 'box_mm', 2) -> 'field f07, box_mm[2]'."""
    if len(loc) >= 2 and loc[0] == "fields" and isinstance(loc[1], int) and isinstance(raw, dict):
        entry = raw["fields"][loc[1]]
        name = entry.get("name", loc[1] + 1) if isinstance(entry, dict) else loc[1] + 1
        rest = _spell(loc[2:], None)
        return f"field {name}" + (f", {rest}" if rest else "")
    spelled = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return spelled.removeprefix(".")


def _line_of(text: str, loc: tuple[int | str, ...]) -> int:
    return text.count("\n", 0, _offset_of(text, loc)) + 1


def _offset_of(text: str, loc: tuple[int | str, ...]) -> int:
    """Where in a JSON text the value of a place begins; as near as the text goes."""
    decoder = json.JSONDecoder()
    at = _skip(text, 0)
    for part in loc:
        if text[at] not in "{[" or (text[at] == "{") != isinstance(part, str):
            return at
        inside, index = _skip(text, at + 1), 0
        while text[inside] not in "}]":
            key: int | str = index
            start = inside
            if text[at] == "{":
                key, inside = scanstring(text, inside + 1)
                inside = _skip(text, _skip(text, inside) + 1)
            if key == part:
                at = inside
                break
            _, inside = decoder.raw_decode(text, inside)
            inside = _skip(text, inside)
            inside = _skip(text, inside + 1) if text[inside] == "," else inside
            index += 1
        else:
            return start if index else at
    return at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
