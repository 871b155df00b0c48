"""``icr read`` and ``icr classify``: files in, readings out, without queue or database."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from schemas.form_template import FORMLESS, FieldKind
from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.saying import say
from worker.errors import IcrError
from worker.grammar.locales import LOCALES, grammar_of
from worker.reader import read_file
from worker.system.harmless import make_json_harmless
from worker.system.whole_files import written_whole

READ_KINDS = ("code", "number", "amount", "date", "time")

if TYPE_CHECKING:  # OpenCV and ONNX Runtime load when a command runs, so that `icr --help` does not wait for them
    from schemas.reading import PageOut
    from worker.page_kinds import PageKind
    from worker.values import Page, PageReading


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--template", help="A form's or template's name, or a .json file; without it, pages find their forms.")
@click.option(
    "--layout",
    type=click.Choice(FORMLESS),
    help="No form: one field, free writing, or a bank check.",
)
@click.option("--kind", type=click.Choice(READ_KINDS), help="What one field holds (--layout field).  [default: code]")
@click.option("--locale", type=click.Choice(sorted(LOCALES)), help="The country that it is written in, with --kind.")
@click.option("--format", "output", type=click.Choice(["jsonl", "table"]), default="table", show_default=True)
@click.option("--draw", type=click.Path(path_type=Path), help="Paint the readings: a .png, or a folder.")
@pass_runtime
def read(
    runtime: Runtime,
    files: tuple[Path, ...],
    template: str | None,
    layout: str | None,
    kind: FieldKind | None,
    locale: str | None,
    output: str,
    draw: Path | None,
) -> None:
    """Read scans (PNG, JPEG, TIFF, PDF, WebP, HEIC) and print one object, or one table, a page."""
    if template and layout:
        raise click.UsageError("--template and --layout exclude each other")
    if (template or layout not in (None, "field")) and (kind or locale):
        raise click.UsageError("--kind and --locale are for one field: --layout field")
    scans = {path.resolve() for path in files}
    if draw and draw.resolve() in scans:
        raise click.UsageError(f"--draw: {draw} is a scan; name another file, or a folder")
    page_kind = _choose_page_kind(runtime, template, layout, kind, locale)
    failed, formless, taken = False, False, scans
    for path in files:
        for page, reading, out in read_file(runtime, path, page_kind):
            failed |= out.error is not None
            formless |= out.error is not None and page is not None and out.template is None
            _print_page(out, output)
            if draw and page is not None and reading is not None:
                target = _free_place(_picture_path(draw, path, page.number, several=len(files) > 1), taken)
                _draw_page(page, reading, target)
    if formless and output == "table" and not (template or layout):
        say("A page that is no form is read with --layout free, a crop of one number with --layout field.")
    sys.exit(1 if failed else 0)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the probabilities go, as .npy.")
@pass_runtime
def classify(runtime: Runtime, file: Path, out: Path) -> None:
    """Classify single digits: 'images' (N, H, W) uint8, white on black, to (N, 11) calibrated probabilities."""
    import numpy as np

    from worker.digits.classification import classify_images

    images = _load_images(file)
    probabilities = classify_images(images, runtime.recognizers())
    try:
        with written_whole(out) as place, place.open("wb") as target:
            np.save(target, probabilities)
    except OSError as error:
        raise IcrError(f"cannot write {out}: {error.strerror}") from error


def _choose_page_kind(
    runtime: Runtime, template: str | None, layout: str | None, kind: FieldKind | None, locale: str | None
) -> PageKind:
    from worker.forms.templates import find_page_kind
    from worker.page_kinds import LoneField

    if kind or locale:
        return LoneField(grammar_of(kind or "amount", locale))
    return find_page_kind(layout or template, runtime.templates(), runtime.check_policy)


def _print_page(out: PageOut, output: str) -> None:
    if output == "jsonl":
        click.echo(make_json_harmless(out.model_dump_json()))
        return
    from worker.output.page_json import print_page

    print_page(out)


def _picture_path(draw: Path, source: Path, number: int, *, several: bool) -> Path:
    """Return the .png of a page: ``draw`` itself, numbered from the second page on, or a name in that folder."""
    if draw.is_dir() or several or not draw.suffix:
        return draw / f"{source.stem}-{number + 1}.png"
    return draw if number == 0 else draw.with_stem(f"{draw.stem}-{number + 1}")


def _free_place(target: Path, taken: set[Path]) -> Path:
    """Return where a picture goes without taking the place of a scan or of another scan's picture, and note it."""
    names = itertools.chain([target], (target.with_stem(f"{target.stem}-{n}") for n in itertools.count(2)))
    free = next(path for path in names if path.resolve() not in taken)
    taken.add(free.resolve())
    return free


def _draw_page(page: Page, reading: PageReading, target: Path) -> None:
    import cv2

    from worker.output.drawing import draw_reading

    done, encoded = cv2.imencode(".png", draw_reading(page, reading))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as place:
            place.write_bytes(encoded.tobytes() if done else b"")
    except OSError as error:
        raise IcrError(f"cannot write {target}: {error.strerror}") from error


def _load_images(file: Path):  # type: ignore[no-untyped-def]
    """Return ``images`` (N, H, W) uint8 of an .npz file."""
    import zipfile

    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as arrays:
            images = arrays["images"]
    except KeyError:
        raise IcrError(f"{file}: holds no array named 'images'") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        reason = getattr(error, "strerror", None) or "not an .npz file of plain arrays"
        raise IcrError(f"{file}: {reason}") from error
    if images.ndim != 3 or images.dtype != np.uint8:
        raise IcrError(f"{file}: 'images' must be (N, H, W) uint8, not {images.shape} {images.dtype}")
    return images
