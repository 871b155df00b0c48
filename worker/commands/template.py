"""``icr template``: draft a form template from a page, check one against scans, list those that are known."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.form_template import FORMLESS
from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.saying import say
from worker.errors import IcrError, UnreadableScanError
from worker.system.whole_files import written_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schemas.form_template import FormTemplate
    from worker.values import Page


def _checked_name(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    """Refuse a name that no template may have, before a page is looked at."""
    from pydantic import TypeAdapter, ValidationError

    from schemas.form_template import TemplateName
    from schemas.mistakes import say_mistakes

    try:
        return None if name is None else TypeAdapter(TemplateName).validate_python(name)
    except ValidationError as error:
        raise click.BadParameter(say_mistakes(error)) from error


FEW_NAMES = 5
"""So many names of fields a line tells."""


def _checked_dpi(_context: click.Context, _option: click.Parameter, dpi: float | None) -> float | None:
    if dpi is not None and math.isnan(dpi):
        raise click.BadParameter("no number")
    return dpi


@click.group()
def template() -> None:
    """Form templates: where the fields of a form lie, as a JSON file."""


@template.command("list")
@pass_runtime
def list_templates(runtime: Runtime) -> None:
    """List the known templates: the shipped ones and those of ICR_TEMPLATES."""
    from worker.output.tables import TableRow, print_table

    rows = []
    for known in runtime.templates().values():
        size = f"{known.page_mm[0]:g} x {known.page_mm[1]:g}"
        belongs = f"{known.form}, {known.page}" if known.form else ""
        rows.append(TableRow((known.name, belongs, known.version, str(len(known.fields)), size, known.title)))
    print_table(("name", "form, page", "version", "fields", "page (mm)", "title"), rows)


@template.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The template to write, or a folder for it; else beside FILE."
)
@click.option("--name", callback=_checked_name, help="Name of the template; else that of the file.")
@click.option("--page", "number", default=1, show_default=True, help="Which page of the file.")
@click.option(
    "--dpi",
    type=click.FloatRange(50, 2400),
    callback=_checked_dpi,
    help="Resolution, where the file does not say it or lies.",
)
@click.option("--blank/--filled", default=None, help="Nobody has written on it / somebody has; else Tesseract tells.")
@click.option("--labels/--no-labels", default=True, help="Name fields by the labels beside them (needs Tesseract).")
@click.option("--text/--no-text", default=True, help="Keep fields for words, which are never read / leave them out.")
@pass_runtime
def draft(
    runtime: Runtime,
    file: Path,
    *,
    out: Path | None,
    name: str | None,
    number: int,
    dpi: float | None,
    blank: bool | None,
    labels: bool,
    text: bool,
) -> None:
    """Draft a template from a blank or filled form: every printed box, row of cells and comb becomes a field.

    Writes the template and, beside it, a picture with every field drawn and named.
    """
    from worker.forms.drafting import draft_template, draw_fields, name_inked, template_json
    from worker.forms.labels import NoOcrError
    from worker.registration.registration import register_page

    page = _page_of(runtime, file, number)
    target, name = _choose_target(file, out, name)
    picture = _free_picture(target)
    try:
        drafted = draft_template(page, name, dpi=dpi, named=labels, blank=blank, text=text)
    except NoOcrError as error:
        say(f"fields are numbered, and a blank form is one only with --blank: {error}", err=True)
        drafted = draft_template(page, name, dpi=dpi, blank=blank)
    found = register_page(page, drafted)
    _write(target, template_json(drafted).encode())
    _write_picture(picture, draw_fields(page, drafted, found.page_from_mm))
    cells = sum(f.layout == "cells" for f in drafted.fields)
    say(f"{target}: {len(drafted.fields)} fields, {cells} of them in cells, {len(drafted.landmarks)} landmarks")
    say(f"{picture}: every field drawn and named; look at it, then correct the template in an editor")
    if unordered := [f.name for f in drafted.fields if f.kind == "date" and f.date_order is None]:
        say(f'the order of day and month in {_first_few(unordered)} is not known: add "order": "DMY", "MDY" or "YMD"')
    if dpi is None and page.dpi is None:
        width, height = drafted.page_mm
        say(f"the file does not say its resolution: the page is taken to be {width:g} x {height:g} mm; else --dpi")
    printed = [f.name for f in drafted.fields if f.print]
    if printed:
        say(f"print inside {_first_few(printed)} is taken out of every scan; if it is handwriting: --filled")
    elif blank is None and (inked := name_inked(page, drafted)):
        say(f"what stands inside {_first_few(inked)} is taken for handwriting; if it is print: --blank")
    if found.quality < drafted.min_registration:
        raise IcrError(
            f"the page does not find its own template (registration {found.quality:.2f}): there is too little print, "
            "or it fits in another place as well, as a lone row of equal cells does, or upside down: more print tells"
        )


@template.command()
@click.argument("template_file", metavar="TEMPLATE")
@click.argument("scans", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", default="check", show_default=True, type=click.Path(path_type=Path), help="Folder for pictures.")
@pass_runtime
def check(runtime: Runtime, template_file: str, scans: tuple[Path, ...], out: Path) -> None:
    """Draw a template's fields over real scans and say what does not fit; exit code 1 if a page does not."""
    from worker.forms.drafting import draw_fields
    from worker.forms.templates import find_form
    from worker.registration.registration import register_page

    pages_of_form = find_form(template_file, runtime.templates()).pages
    bad = False
    for path in scans:
        for page, problem in _pages_of(runtime, path):
            if page is None:
                say(f"{path}: {problem}")
                bad = True
                continue
            form, found = max(((t, register_page(page, t)) for t in pages_of_form), key=lambda fit: fit[1].quality)
            picture = out / f"{path.stem}-{page.number + 1}.png"
            _write_picture(picture, draw_fields(page, form, found.page_from_mm))
            remarks = _remarks(form, found.quality, page, found.page_from_mm)
            bad |= bool(remarks)
            which = f"{form.name}, " if len(pages_of_form) > 1 else ""
            say(f"{path}, page {page.number + 1}: {which}registration {found.quality:.2f}, drawn in {picture}")
            for remark in remarks:
                say(f"  {remark}")
    sys.exit(1 if bad else 0)


def _remarks(form: FormTemplate, quality: float, page: Page, page_from_mm: NDArray[np.float64]) -> list[str]:
    """Say what does not fit: a page that is not the form, and fields that lie off it."""
    if quality < form.min_registration:
        return [f"unregistered: {form.min_registration:.2f} is needed; nothing would be read on this page"]
    from worker.fields.locating.extraction import share_on_page

    shares = {f.name: share_on_page(f, page, page_from_mm) for f in form.fields}
    return [f"field {name}: {1 - share:.0%} of it lies off the page" for name, share in shares.items() if share < 0.98]


def _pages_of(runtime: Runtime, path: Path) -> Iterator[tuple[Page | None, str | None]]:
    from worker.rasterizer import open_pages
    from worker.values import Page

    try:
        for page in open_pages(path, scan_id=path.name, limits=runtime.limits()):
            yield (page, None) if isinstance(page, Page) else (None, page.problem)
    except UnreadableScanError as error:
        yield None, str(error)


def _page_of(runtime: Runtime, path: Path, number: int) -> Page:
    for page, problem in _pages_of(runtime, path):
        if page is None:
            raise UnreadableScanError(f"{path}: {problem}")
        if page.number == number - 1:
            return page
    raise IcrError(f"{path} has no page {number}")


def _name_from(file: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-")[:55] or "form"
    return f"{name}-form" if name in FORMLESS else name


def _first_few(names: list[str]) -> str:
    shown = ", ".join(names[:FEW_NAMES])
    return f"{shown} and {len(names) - FEW_NAMES} more" if len(names) > FEW_NAMES else shown


def _choose_target(file: Path, out: Path | None, name: str | None) -> tuple[Path, str]:
    """Return where a template goes and its name; a template's file ends in .json, or nothing would find it."""
    if out is None or os.path.isdir(out):  # noqa: PTH112  # of a name too long, Path.is_dir raises
        name = name or _name_from(file)
        return (out or file.parent) / f"{name}.json", name
    is_whole = out.suffix.lower() == ".json" or os.path.lexists(out)  # a file that is there is refused later
    target = out if is_whole else out.with_name(f"{out.name}.json")
    return target, name or _name_from(target)


def _free_picture(target: Path) -> Path:
    """Return where the picture beside a new template goes: the page itself may lie there, and stays.

    Raises
    ------
    IcrError
        The template's place, or both places of its picture, are taken or cannot be looked at.
    """
    pictures = [target.with_suffix(".png"), target.with_name(f"{target.stem}-fields.png")]
    try:
        free = [path for path in pictures if path != target and not os.path.lexists(path)]
        taken = target if os.path.lexists(target) else pictures[-1]
    except (OSError, ValueError) as error:
        raise IcrError(f"cannot write {target}: {error}") from error
    if taken == target or not free:
        raise IcrError(f"{taken} is there already: name another with --out")
    return free[0]


def _write(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as place:
            place.write_bytes(content)
    except OSError as error:
        raise IcrError(f"cannot write {target}: {error.strerror}") from error


def _write_picture(target: Path, picture: NDArray[np.uint8]) -> None:
    import cv2

    _write(target, cv2.imencode(".png", picture)[1].tobytes())
