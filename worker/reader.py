"""Read files without queue or database: what ``worker.read`` and ``icr read`` do."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worker.bootstrap import Runtime, build_runtime
from worker.errors import UnreadableScanError
from worker.separators import Documents
from worker.settings import Settings

if TYPE_CHECKING:  # OpenCV and ONNX Runtime load when the first page is read
    from schemas.reading import PageOut
    from worker.page_kinds import PageKind
    from worker.values import Page, PageReading


class Reader:
    """Reads files with one set of settings; the models load once, with the first page.

    Parameters
    ----------
    settings
        The settings; by default those of the ``ICR_*`` variables in the environment.

    Raises
    ------
    SettingsError
        A setting is malformed, or two contradict.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._runtime = build_runtime(settings)

    def read(
        self,
        path: str | PathLike[str],
        *,
        template: str | PathLike[str] | None = None,
        layout: Literal["field", "free", "check"] | None = None,
    ) -> list[PageOut]:
        """Read a file (PNG, JPEG, TIFF, PDF, WebP, HEIC) and return its pages in order.

        Parameters
        ----------
        path
            The file.
        template
            The name of a form or a template, or a template's ``.json`` file. By default each page finds its form.
        layout
            What the pages are if they are no forms: the crop of one field, free writing, or bank checks.

        Returns
        -------
        One ``PageOut`` a page. ``error`` says why a page could not be read, for example because no form was found on
        it. A file that cannot be read, or not to its end, ends with such a page.

        Raises
        ------
        ValueError
            Both ``template`` and ``layout`` are given.
        UnknownTemplateError, InvalidTemplateError
            No form or template has that name, or its file is wrong.
        ModelFileError
            A model is missing or altered.
        """
        from worker.forms.templates import find_page_kind

        if template is not None and layout is not None:
            raise ValueError("template and layout exclude each other")
        name = layout if template is None else str(template)
        kind = find_page_kind(name, self._runtime.templates(), self._runtime.check_policy)
        return [out for _, _, out in read_file(self._runtime, Path(path), kind)]


def read_file(
    runtime: Runtime, path: Path, kind: PageKind
) -> Iterator[tuple[Page | None, PageReading | None, PageOut]]:
    """Yield every page of a file as it was read; a file that fails ends with an object that says why.

    The page itself is None where it is blank, or could not be decoded.
    """
    from schemas.reading import PageOut
    from worker.batches import Batch
    from worker.output.page_json import to_page_out
    from worker.pipeline import excuse_blank_backs
    from worker.rasterizer import open_pages
    from worker.values import Page

    batch, documents = Batch(runtime, kind), Documents()

    def read_pages() -> Iterator[tuple[Page | None, PageReading]]:
        for page in open_pages(path, scan_id=path.name, limits=runtime.limits()):
            reading = batch.read(page)
            yield (page if isinstance(page, Page) and not reading.blank else None), reading

    number = 0
    read = excuse_blank_backs(read_pages()) if runtime.settings.blank_pages == "skip" else read_pages()
    try:
        for page, reading in read:
            document = documents.add(reading.page, reading.separator)
            yield page, reading, to_page_out(reading, str(path), document.reference if document else None)
            number = reading.page + 1
    except UnreadableScanError as error:
        yield None, None, PageOut(source=str(path), page=number, error=str(error))
