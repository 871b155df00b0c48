"""``icr export``: all readings as JSON or CSV, and the wide table that people open in a spreadsheet."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.bootstrap import Runtime
from worker.commands.entry import choose_pages, pass_runtime, ready_engine, select_pages
from worker.sources.file_uris import display_name

if TYPE_CHECKING:  # SQLAlchemy loads when a command runs, so that `icr --help` does not wait for it
    from collections.abc import Iterable

    from sqlalchemy import Engine

    from worker.output.wide import Row
    from worker.store.results import Selection


@click.command()
@select_pages
@click.option(
    "--format", "output", type=click.Choice(["jsonl", "csv", "xlsx"]), help="[default: jsonl; with --wide: csv]"
)
@click.option("--wide", is_flag=True, help="One row a form, one column a field: csv or xlsx.")
@click.option("--delimiter", type=click.Choice([",", ";", "tab"]), default=",", show_default=True, help="Of wide csv.")
@click.option("--decimal-mark", type=click.Choice([".", ","]), default=".", show_default=True, help="Of wide csv.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of standard output.")
@pass_runtime
def export(
    runtime: Runtime,
    job: str | None,
    reference: str | None,
    template: str | None,
    output: str | None,
    wide: bool,
    delimiter: str,
    decimal_mark: str,
    out: Path | None,
) -> None:
    """Write all readings: jsonl is one object a page with its digits, csv one line a field.

    With --wide it is a table for people, one row a form. A field that awaits review is empty there, and named in the
    column 'awaits review'.
    """
    selection = choose_pages(job, reference, template)
    output = output or ("csv" if wide else "jsonl")
    if wide != (output == "xlsx") and output != "csv":
        raise click.UsageError("--wide is csv or xlsx, and xlsx needs --wide")
    if output == "xlsx" and out is None:
        raise click.UsageError("xlsx needs a file: --out FILE.xlsx")
    if not wide:
        _export_lines(ready_engine(runtime), selection, output, out)
        return
    if delimiter == decimal_mark and output == "csv":
        raise click.UsageError("the delimiter and the decimal mark are the same: add --delimiter ';'")
    _export_wide(runtime, selection, out, delimiter=delimiter, decimal_mark=decimal_mark, is_xlsx=output == "xlsx")


def _export_lines(engine: Engine, selection: Selection, output: str, out: Path | None) -> None:
    from worker.commands.printing import write_lines
    from worker.commands.result_lines import field_lines
    from worker.store.results import iter_pages

    lines: Iterable[Any] = field_lines(engine, selection)
    if output == "jsonl":
        lines = iter_pages(engine, selection, with_digits=True)
    write_lines(lines, output, out)


def _export_wide(
    runtime: Runtime, selection: Selection, out: Path | None, *, delimiter: str, decimal_mark: str, is_xlsx: bool
) -> None:
    """Write the wide table in two passes: the columns are known only when every page has been seen."""
    from worker.commands.printing import open_output
    from worker.output.csv_lines import defuse
    from worker.output.wide import find_obstacle, group_forms, list_columns, make_row, write_csv, write_xlsx
    from worker.store.results import iter_pages

    if is_xlsx:
        find_obstacle()
    engine, templates = ready_engine(runtime), runtime.templates()
    last_page = max((page.page_id for page in iter_pages(engine, selection)), default=0)

    def rows() -> Iterable[Row]:
        known = itertools.takewhile(lambda page: page.page_id <= last_page, iter_pages(engine, selection))
        return (make_row(form, templates, display_name) for form in group_forms(known, templates))

    columns = list_columns(rows())
    if is_xlsx and out is not None:
        write_xlsx(rows(), columns, out)
        return
    mark = "\t" if delimiter == "tab" else delimiter
    with open_output(out, encoding="utf-8-sig") as target:  # by its first bytes Excel knows UTF-8
        write_csv(rows(), columns, target, delimiter=mark, decimal_mark=decimal_mark, defuse=defuse)
