"""Results as flat lines for JSON and CSV, and as the rows of a table; every line of one command has the same keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from worker.commands.printing import ResultLine, TableShape
from worker.output.field_lines import OF_FIELD, OF_PAGE, RESULT_LINE, lines_of_page
from worker.output.tables import STYLES, TableRow, format_confidence, show_confidence
from worker.sources.file_uris import display_name

if TYPE_CHECKING:  # SQLAlchemy loads when a command runs, so that `icr --help` does not wait for it
    from sqlalchemy import Engine

    from worker.store.results import AnyRow, Selection

_REVIEW_LINE: ResultLine = dict.fromkeys((*OF_FIELD, "alternatives", *OF_PAGE, "read_at"))


def field_lines(engine: Engine, selection: Selection) -> Iterator[ResultLine]:
    """Yield the selected fields as lines; a page without fields is a line of its own."""
    from worker.store.results import iter_pages

    for page in iter_pages(engine, selection):
        yield from lines_of_page(page)


def unread_job_lines(engine: Engine, selection: Selection) -> Iterator[ResultLine]:
    """Yield the selected jobs without pages as lines: why each failed, or that it is not read yet."""
    from worker.store.results import iter_jobs_without_result

    for row in iter_jobs_without_result(engine, selection):
        about = {"job": row.id, "reference": row.reference, "source": row.uri, "template": row.template}
        yield {**RESULT_LINE, **about, "status": row.state, "error": row.error_reason}


def review_lines(engine: Engine) -> Iterator[ResultLine]:
    """Yield what awaits review as lines, the longest waiting first: pages, then fields."""
    from worker.store.results import box_of, iter_page_review_queue, iter_review_queue

    for row in iter_page_review_queue(engine):
        yield _queue_line(row, _REVIEW_LINE) | {"status": "review", "error": row.problem}
    for row in iter_review_queue(engine):
        read = {"text": row.machine_text, "written": row.machine_written or row.machine_text}
        yield _queue_line(row, _REVIEW_LINE) | {"status": "review", **read, "box": box_of(row)}


def digit_lines(engine: Engine, *, below: float) -> Iterator[ResultLine]:
    """Yield the digits whose confidence is less than ``below`` as lines, the most doubtful first."""
    from worker.store.results import box_of, iter_low_confidence

    of_digit = ("field_id", "position", "digit", "second_digit", "third_digit", "name", "status", "origin")
    rounded = ("confidence", "second_confidence", "third_confidence", "outlier", "field_confidence")
    empty = dict.fromkeys((*of_digit, "reference", "page", "template", *rounded, "box", "text", "final", "job"))
    for row in iter_low_confidence(engine, below=below):
        line = _queue_line(row, {**empty, "source": None, "read_at": None})
        line |= {key: round(line[key], 5) for key in rounded}
        yield line | {"box": box_of(row), "text": row.machine_text, "final": row.final_text}


def _field_rows(line: ResultLine, last: ResultLine | None) -> Iterator[TableRow]:
    """Yield the rows of a table for one line: what is said of a page stands once, above its fields."""
    is_new_page = last is None or (line["job"], line["page_id"]) != (last["job"], last["page_id"])
    on_page = line["error"] or line["doubt"]
    if line["field_id"] is None or (is_new_page and on_page):
        yield _page_row(line, on_page)
    if line["field_id"] is None:
        return
    final, text, by_person = line["final"], line["text"], line["origin"] == "reviewer"
    number = line["written"] if final is None or final == text else final
    verdict = line["status"] if not by_person else "confirmed" if final == text else "corrected"
    notes = line["reasons"] if final is None else [f"the machine read {line['written']!r}"] if final != text else []
    confidence = show_confidence(line["confidence"], line["status"])
    cells = (*_place_cells(line, str(line["field_id"])), line["name"], number, confidence, verdict)
    yield TableRow(cells, tuple(notes), STYLES.get(verdict))


def _digit_rows(line: ResultLine, _last: ResultLine | None) -> Iterator[TableRow]:
    """Yield the row of a table for one digit."""
    read, other = (
        f"{line[digit]} {format_confidence(line[confidence])}"
        for digit, confidence in (("digit", "confidence"), ("second_digit", "second_confidence"))
    )
    number = line["text"] if line["final"] is None else line["final"]
    place = f"{line['position'] + 1} of {len(line['text'])}"
    cells = (*_place_cells(line, str(line["field_id"])), line["name"], number, place, read, other, line["status"])
    yield TableRow(cells, style=STYLES.get(line["status"]))


def _queue_line(row: AnyRow, empty: ResultLine) -> ResultLine:
    """Return the columns of a view's row that the line has."""
    kept = {key: row._mapping[key] for key in empty if key in row._mapping}
    return {**empty, **kept, "job": row.job_id, "source": row.uri, "read_at": row.read_at.isoformat()}


def _page_row(line: ResultLine, on_page: str | None) -> TableRow:
    has_page = line["page_id"] is not None
    verdict = line["status"] if not has_page else "settled" if line["settled_by"] else "review"
    identity = f"page {line['page_id']}" if has_page else ""
    cells = (*_place_cells(line, identity), "", "", "", verdict if on_page or not has_page else "no fields")
    return TableRow(cells, (on_page,) if on_page else (), STYLES.get(verdict))


def _place_cells(line: ResultLine, identity: str) -> tuple[str, str, str]:
    """Return the first cells of a row: its id, the file, and the page, counted from 1."""
    page = "" if line["page"] is None else str(line["page"] + 1)
    return identity, display_name(line["source"]) if line["source"] else "", page


FIELD_TABLE = TableShape(("id", "scan", "page", "field", "number", "confidence", "verdict"), _field_rows)
DIGIT_TABLE = TableShape(("id", "scan", "page", "field", "number", "digit", "read", "or", "verdict"), _digit_rows)
