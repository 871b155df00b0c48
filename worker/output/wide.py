"""The wide table of an export: one row a form, one column a field, as people want it in a spreadsheet."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from schemas.form_template import FieldGrammar
from schemas.reading import MoneyOut, StoredField, StoredPage
from worker.errors import IcrError, SettingsError
from worker.system.whole_files import written_whole

if TYPE_CHECKING:
    from schemas.form_template import FormTemplate

Cell = str | int | Decimal | dt.date | dt.datetime | None
Row = dict[str, Cell]

BEFORE = ("scan", "page", "reference", "form", "read at")
BEHIND = ("awaits review", "problem")
"""The columns around those of the fields; a field's own name never has a space."""

MOST_DECIMALS = 6
"""As many as a template may ask for."""

EXTRA_IS_MISSING = "XLSX needs the extra 'xlsx', which is not installed: pip install '.[xlsx]'"


def group_forms(pages: Iterable[StoredPage], templates: Mapping[str, FormTemplate]) -> Iterator[list[StoredPage]]:
    """Yield the pages that are one form: alone, or those of one form of several pages that follow each other.

    Blank pages that need nobody, as the backs of sheets, are no forms.
    """
    held: list[StoredPage] = []
    for page in (page for page in pages if not page.blank or page.error or page.doubt):
        if held and not _continues(held[-1], page, templates):
            yield held
            held = []
        held.append(page)
    if held:
        yield held


def make_row(
    pages: Sequence[StoredPage], templates: Mapping[str, FormTemplate], name_scan: Callable[[str], str]
) -> Row:
    """Return the row of one form: what holds of each field, None where it awaits review, and what to look at.

    A field has its value where its grammar tells one, else its text as it stands, so that leading zeros stay.
    """
    first, template = pages[0], templates.get(pages[0].template or "")
    row: Row = {
        "scan": name_scan(first.source),
        "page": first.page + 1,
        "reference": first.reference,
        "form": (template.form if template else None) or first.template,
        "read at": first.read_at,
    }
    waiting, problems = [], []
    for page in pages:
        problems += [each for each in (page.error, page.doubt) if each and not page.settled_by]
        known = templates.get(page.template or "")
        specs = {spec.name: spec for spec in known.fields} if known else {}
        for field in page.fields:
            name = field.name if field.name not in row else f"{field.name} (page {page.page + 1})"
            row[name] = _cell_of(field, specs.get(field.name))
            waiting += [name] if field.final is None else []
    return {**row, "awaits review": ", ".join(waiting) or None, "problem": "; ".join(problems) or None}


def list_columns(rows: Iterable[Row]) -> list[str]:
    """Return the columns of rows: those before the fields, the fields as they first appear, those behind."""
    fields = dict.fromkeys(name for row in rows for name in row if name not in (*BEFORE, *BEHIND))
    return [*BEFORE, *fields, *BEHIND]


def write_csv(
    rows: Iterable[Row],
    columns: Sequence[str],
    target: TextIO,
    *,
    delimiter: str,
    decimal_mark: str,
    defuse: Callable[[object], object],
) -> None:
    """Write rows as CSV; ``defuse`` makes text harmless that a spreadsheet would run."""
    writer = csv.writer(target, delimiter=delimiter, lineterminator="\r\n")  # RFC 4180
    writer.writerow(map(defuse, columns))
    for row in rows:
        cells = (row.get(name) for name in columns)
        writer.writerow([_spell(cell, decimal_mark) if _is_typed(cell) else defuse(cell) for cell in cells])


def find_obstacle() -> None:
    """Raise ``SettingsError``, saying what to install, where XLSX cannot be written."""
    try:
        import xlsxwriter  # noqa: F401  # only whether it is there
    except ImportError:
        raise SettingsError(EXTRA_IS_MISSING) from None


def write_xlsx(rows: Iterable[Row], columns: Sequence[str], path: Path) -> None:
    """Write rows as one sheet: texts as text, so that leading zeros stay, amounts as numbers, dates as dates.

    Raises
    ------
    IcrError
        If the file cannot be written; says why.
    """
    import xlsxwriter

    book = io.BytesIO()
    try:
        _write_book(xlsxwriter, rows, columns, book)
        with written_whole(path) as place:
            place.write_bytes(book.getbuffer())
    except OSError as error:
        raise IcrError(f"cannot write {path}: {error.strerror or error}") from error


def _write_book(xlsxwriter: Any, rows: Iterable[Row], columns: Sequence[str], target: io.BytesIO) -> None:
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "remove_timezone": True}
    with xlsxwriter.Workbook(target, options) as book:
        sheet, bold = book.add_worksheet(), book.add_format({"bold": True})
        day, moment = (book.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm"))
        decimals = [book.add_format({"num_format": f"{0:.{places}f}"}) for places in range(MOST_DECIMALS + 1)]
        sheet.write_row(0, 0, columns, bold)
        for number, row in enumerate(rows, 1):
            for at, name in enumerate(columns):
                match row.get(name):
                    case dt.datetime() as cell:
                        sheet.write_datetime(number, at, cell, moment)
                    case dt.date() as cell:
                        sheet.write_datetime(number, at, cell, day)
                    case Decimal() as cell:
                        places = min(max(0, -int(cell.as_tuple().exponent)), MOST_DECIMALS)
                        sheet.write_number(number, at, float(cell), decimals[places])
                    case int() as cell:
                        sheet.write_number(number, at, cell)
                    case str() as cell:
                        sheet.write_string(number, at, cell)


def _continues(last: StoredPage, page: StoredPage, templates: Mapping[str, FormTemplate]) -> bool:
    before, after = (templates.get(each.template or "") for each in (last, page))
    if before is None or after is None or before.form is None or last.job != page.job:
        return False
    return before.form == after.form and (before.page or 0) < (after.page or 0)


def _cell_of(field: StoredField, grammar: FieldGrammar | None) -> Cell:
    value = field.final_value
    if isinstance(value, MoneyOut):
        known = grammar or FieldGrammar(kind="amount", currency=value.currency)
        return Decimal(value.minor_units).scaleb(-known.decimal_places)
    if isinstance(value, int):
        return value
    if value is not None and field.kind in ("number", "amount"):
        return Decimal(value)
    if value is not None and field.kind == "date":
        return dt.date.fromisoformat(value)
    if value is not None or field.final != field.text:
        return value if value is not None else field.final
    return field.written or field.final  # of a date whose order nobody says, or of digits whose marks tell no value


def _is_typed(cell: Cell) -> bool:
    return not isinstance(cell, str)


def _spell(cell: Cell, decimal_mark: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return f"{cell:f}".replace(".", decimal_mark)
    if isinstance(cell, dt.datetime):
        return cell.isoformat(sep=" ", timespec="seconds")
    return str(cell)
