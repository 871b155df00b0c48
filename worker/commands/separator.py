"""``icr separator``: sheets to print, which begin a new document among the pages of one scan."""

from __future__ import annotations

from pathlib import Path

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.saying import say
from worker.errors import InvalidJobError
from worker.system.whole_files import written_whole


@click.command()
@click.option(
    "--reference", "references", multiple=True, help="What the pages behind the sheet are found by; one sheet for each."
)
@click.option("--template", help="The form template to read them by.  [default: whichever fits]")
@click.option("--copies", type=click.IntRange(1, 500), default=1, help="Sheets for each reference.", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("separators.pdf"),
    show_default=True,
    help="A PDF, or a PNG of one sheet.",
)
@pass_runtime
def separator(runtime: Runtime, references: tuple[str, ...], template: str | None, copies: int, output: Path) -> None:
    """Draw separator sheets to print and lay between the documents of a batch (ICR_SEPARATORS)."""
    from PIL import Image

    from worker.forms.templates import find_page_kind
    from worker.separators import draw_sheet, parse_code, write_code
    from worker.values import Separator

    if template is not None:
        find_page_kind(template, runtime.templates(), runtime.check_policy)
    sheets = [Separator(template, reference) for reference in references or ("",)]
    for sheet in sheets:
        said = parse_code(write_code(sheet))
        if said is None or (sheet.reference or None) != said.reference:
            raise InvalidJobError(f"no sheet can bear this reference: {sheet.reference}")
    pictures = [picture for picture in map(draw_sheet, sheets) for _ in range(copies)]
    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind not in Image.SAVE:
        raise InvalidJobError(f"{output} cannot be written: its name must end in .pdf or .png")
    if kind != "PDF" and len(pictures) > 1:
        raise InvalidJobError("several sheets need a PDF: -o separators.pdf")
    pages = (
        {"resolution": 150, "save_all": True, "append_images": pictures[1:]} if kind == "PDF" else {"dpi": (150, 150)}
    )
    try:
        with written_whole(output) as place, place.open("wb") as target:
            pictures[0].save(target, kind, **pages)
    except OSError as error:
        raise InvalidJobError(f"{output} cannot be written: {error.strerror or error}") from error
    say(f"{len(pictures)} sheet{'s' * (len(pictures) > 1)} in {output}")
