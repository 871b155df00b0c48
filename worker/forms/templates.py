"""Form templates from JSON files: the shipped ones and a user's own; every mistake is named with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

import schemas
from schemas.form_template import FORMLESS, FormTemplate
from schemas.rules import CheckDigitRule
from worker.errors import InvalidTemplateError, TemplateProblem, UnknownTemplateError, UnreadableScanError
from worker.forms.problems import line_of, list_problems
from worker.grammar.rules import find_check_digit_scheme
from worker.page_kinds import CheckPage, FreePage, LoneField, PageKind
from worker.values import FormPages

if TYPE_CHECKING:
    from worker.checks.policy import CheckPolicy

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
            raise InvalidTemplateError(TemplateProblem(folder, "no such folder of templates"))
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
    if name_or_file.lower().endswith(".json"):
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
    if name not in FORMLESS:
        return find_form(name, known)
    return CheckPage(checks) if name == "check" else FreePage() if name == "free" else LoneField()


def find_form(name_or_file: str, known: dict[str, FormTemplate]) -> FormPages:
    """Return the pages of a known form, in their order, with what else a page may be; or one template's page.

    Raises
    ------
    UnknownTemplateError
        No form and no template has that name; names the known ones.
    """
    pages = tuple(sorted((t for t in known.values() if t.form == name_or_file), key=lambda t: t.page or 0))
    form = name_or_file
    if not pages:
        try:
            pages = (find_template(name_or_file, known),)
            form = pages[0].name  # what people read: not where a file lies
        except UnknownTemplateError as error:
            forms = sorted({t.form for t in known.values() if t.form})
            raise UnknownTemplateError(f"{error}" + (f"; forms: {', '.join(forms)}" if forms else "")) from error
    return FormPages(pages, form, tuple(t for t in known.values() if t not in pages))


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
        raise InvalidTemplateError(TemplateProblem(path, error.strerror or str(error))) from error
    if len(content) > MAX_TEMPLATE_BYTES:
        raise InvalidTemplateError(TemplateProblem(path, f"{len(content)} bytes are too many for a template"))
    try:
        text = content.decode("utf-8-sig")
        json.loads(text)  # its errors name a line
    except UnicodeDecodeError as error:
        said = f"not UTF-8 text: {error.reason} at byte {error.start}"
        raise InvalidTemplateError(TemplateProblem(path, said)) from error
    except json.JSONDecodeError as error:
        raise InvalidTemplateError(TemplateProblem(path, f"not JSON: {error.msg}", error.lineno)) from error
    except RecursionError as error:
        raise InvalidTemplateError(TemplateProblem(path, "not a template: nested too deep")) from error
    try:
        template = FormTemplate.model_validate_json(text)
    except ValidationError as error:
        raise InvalidTemplateError(*list_problems(path, text, error)) from error
    _refuse_unknown_schemes(path, text, template)
    return template if template.reference is None else _with_reference(path, text, template)


def _with_reference(path: Path, text: str, template: FormTemplate) -> FormTemplate:
    """Return the template with the print of its reference picture as its landmarks."""
    from worker.forms.drafting import find_landmarks  # OpenCV, and only where a template has a picture
    from worker.rasterizer import open_pages
    from worker.rasterizer.limits import RasterLimits
    from worker.values import Page

    picture = path.parent / str(template.reference)

    def problem(message: str) -> InvalidTemplateError:
        at = ("reference",)
        return InvalidTemplateError(TemplateProblem(path, f"reference: {message}", line_of(text, at), at))

    try:
        page = next(open_pages(picture, scan_id=picture.name, limits=RasterLimits()), None)
    except UnreadableScanError as error:
        raise problem(str(error)) from error
    if not isinstance(page, Page):
        raise problem(f"{picture} has no page" if page is None else page.problem)
    height, width = page.grey.shape
    stretch = (width / template.page_mm[0]) / (height / template.page_mm[1])
    if abs(stretch - 1) > MOST_STRETCH:
        page_mm = f"{template.page_mm[0]} x {template.page_mm[1]} mm"
        raise problem(f"{width} x {height} pixels are not the proportions of {page_mm}")
    landmarks = find_landmarks(page.grey, template.page_mm)
    if len(landmarks) < FEWEST_LANDMARKS:
        raise problem(f"{len(landmarks)} printed boxes and lines are too few to be found by")
    return template.model_copy(update={"landmarks": landmarks})


def _refuse_unknown_schemes(path: Path, text: str, template: FormTemplate) -> None:
    for place, spec in template.iter_placed_fields():
        for i, rule in enumerate(spec.rules):
            if isinstance(rule, CheckDigitRule) and find_check_digit_scheme(rule.scheme) is None:
                at = (*place, "rules", i, "scheme")
                said = f"field {spec.name}: python-stdnum knows no check {rule.scheme!r}"
                raise InvalidTemplateError(TemplateProblem(path, said, line_of(text, at), at))


def _load_folder(folder: Path) -> dict[str, FormTemplate]:
    found: dict[str, FormTemplate] = {}
    for path in sorted(path for path in folder.glob("*") if path.suffix.lower() == ".json"):
        template = load_template(path)
        if template.name in found:
            raise InvalidTemplateError(
                TemplateProblem(path, f"another template of this folder is named {template.name!r} too", path=("name",))
            )
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
        said = f"{' and '.join(same)} are both page {template.page} of {template.form}"
        raise InvalidTemplateError(TemplateProblem(folder, said))
    namesake = found.get(template.form)
    if namesake is not None and namesake.form != template.form:
        said = f"{template.name} is a page of {template.form!r}, which is the name of another template"
        raise InvalidTemplateError(TemplateProblem(folder, said))
