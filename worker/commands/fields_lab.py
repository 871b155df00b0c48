"""``icr evaluate-fields``, ``calibrate`` and ``calibrate-pages``: the readers measured, and what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.lab_parts import data_dir_option, need_fields, train_extra
from worker.errors import IcrError

if TYPE_CHECKING:
    from worker.training.fields.evaluation import DigitScore, PhotoScore
    from worker.training.fields.measures import FieldMeasures
    from worker.training.fields.report import Read
    from worker.training.fields.truth import LabelledField

ABOUT_PAGES = (
    "The threshold of each rate of wrong numbers among the accepted ones on pages without a form, shown with 95 % "
    "certainty by icr calibrate-pages: {pages} drawn pages of numbers and {cell_pages} of rows of cells (seed {seed}), "
    "scanned, photographed, thresholded, inverted and turned, in the hands of half of the UNIPEN writers that train "
    "nothing; the confidence was fitted on the other half."
)


@click.command("evaluate-fields")
@data_dir_option
@click.option("--truth", type=click.Path(path_type=Path), help="Your own labels.csv in place of the shared sets.")
@click.option("--half", type=click.Choice(["reporting", "development", "both"]), default="both", show_default=True)
@click.option("--format", "output", type=click.Choice(["jsonl", "table"]), default="table", show_default=True)
@click.option("--report", type=click.Path(path_type=Path), help="Write an HTML report here.")
@click.option("--photos/--no-photos", default=True, help="Also read the sets of whole photos and checks.")
@pass_runtime
def evaluate_fields(
    runtime: Runtime,
    data_dir: Path | None,
    truth: Path | None,
    half: str,
    output: str,
    report: Path | None,
    photos: bool,
) -> None:
    """Measure the readers: whole fields, read rates, what is accepted, what of that is wrong, and its interval.

    Also whole checks and photos, single digits, and the milliseconds of one field of six digits.
    """
    with train_extra():
        from worker.training.fields import evaluation
        from worker.training.fields.measures import measure
        from worker.training.fields.report import write_field_report
        from worker.training.fields.truth import SOURCES, load_fields, load_own_fields, split

    recognizers = runtime.recognizers()
    halves = ("reporting", "development") if half == "both" else (half,)
    groups: dict[tuple[str, str], list[LabelledField]] = {}
    if truth:
        for labelled in load_own_fields(truth):
            groups.setdefault((labelled.source, "own"), []).append(labelled)
    else:
        found = need_fields(data_dir)
        for name in SOURCES:
            fields = load_fields(found, name)
            groups |= {(name, h): list(split(fields, development=h == "development")) for h in halves}
    measures: list[FieldMeasures] = []
    reads: list[Read] = []
    for (name, part), fields in groups.items():
        scored = evaluation.score_fields(fields, recognizers)
        measures.append(measure(name, part, [s for s, _ in scored]))
        reads += [(labelled, s, read) for labelled, (s, read) in zip(fields, scored, strict=True)]
        _print_measures(measures[-1], output, first=len(measures) == 1)
    if not truth:
        for part in halves if photos else ():
            development = part == "development"
            checks = evaluation.score_checks(found, recognizers, development=development)
            _print_measures(measure(evaluation.CHECKS, part, checks), output, first=False)
            for source in evaluation.PHOTO_SOURCES:
                _print_photos(
                    evaluation.score_photos(found, source, recognizers, development=development), part, output
                )
        for score in evaluation.score_digits(found, recognizers, halves):
            _print_digits(score, output)
        six = [f for h in halves for f in groups["check_amounts_car_a", h] if len(f.truth) == 6]
        _print_time(evaluation.time_field_ms(six, recognizers), len(six), output)
    if report:
        write_field_report(measures, reads, report)
        click.echo(f"report: {report}")


@click.command()
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="labels.csv: file, digits, box_x...")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the calibration goes, as JSON.")
@click.option("--refit/--keep", default=False, help="Also fit what the evidence is worth (needs the extra 'train').")
@pass_runtime
def calibrate(runtime: Runtime, truth: Path, out: Path, refit: bool) -> None:
    """Choose the accept threshold from your own labelled fields; ICR_CALIBRATION names the file written."""
    with train_extra():
        from worker.training.fields.calibration import calibrate_own
        from worker.training.fields.truth import load_own_fields
    from worker.calibration import describe_promise, keep_calibration

    rate, recognizers = runtime.settings.max_substitution_rate, runtime.recognizers()
    chosen = calibrate_own(load_own_fields(truth), recognizers, max_substitution_rate=rate, refit=refit)
    kept = keep_calibration(chosen) | {"models": recognizers.versions}
    try:
        out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise IcrError(f"cannot write {out}: {error.strerror}") from error
    click.echo(describe_promise(chosen.free.promise))


@click.command("calibrate-pages")
@data_dir_option
@click.option("--pages", default=1500, show_default=True, help="How many free pages to draw and read.")
@click.option("--cell-pages", default=600, show_default=True, help="How many pages with rows of cells.")
@click.option("--seed", default=0, show_default=True, help="Of the drawings.")
@click.option("--processes", default=2, show_default=True, help="Processes that draw and read.")
@click.option("--resume", is_flag=True, help="Go on from the pages in --folder; the code has to be the same.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/pages"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where the promises go; by default beside the models.")
@pass_runtime
def calibrate_pages(
    runtime: Runtime,
    data_dir: Path | None,
    pages: int,
    cell_pages: int,
    seed: int,
    processes: int,
    resume: bool,
    folder: Path,
    out: Path | None,
) -> None:
    """Show on whole pages of held-out hands which confidence keeps which promise on pages without a form.

    The promises hold for the installed models only: run it again after a training. Every page is kept in --folder once
    it is read, so that a run that was stopped can go on.
    """
    with train_extra():
        from worker.training.general.free_pages import Layout, choose_page_promises, judge_held_out_pages
    from worker.calibration import describe_promise
    from worker.models.runtime import MODELS_DIR, PAGE_PROMISES
    from worker.page_promises import keep_page_promises

    asked: tuple[tuple[Layout, int], ...] = (("free", pages), ("cells", cell_pages))
    folder.mkdir(parents=True, exist_ok=True)
    recognizers = runtime.recognizers()
    shown = {}
    for layout, count in asked:
        kept_pages = folder / f"{layout}-{seed}.jsonl"
        if not resume:
            kept_pages.unlink(missing_ok=True)
        fields = judge_held_out_pages(
            need_fields(data_dir), layout, count, seed, kept=kept_pages, processes=processes, report=click.echo
        )
        least = getattr(recognizers.calibration, layout).accept_threshold or 1.0
        shown[layout] = choose_page_promises(fields, layout, least=least)
        for promise in shown[layout]:
            click.echo(f"{layout}: {describe_promise(promise)}")
    about = ABOUT_PAGES.format(pages=pages, cell_pages=cell_pages, seed=seed)
    kept = keep_page_promises(shown["free"], shown["cells"], recognizers.versions, recognizers.calibration, about=about)
    path = out or MODELS_DIR / PAGE_PROMISES
    try:
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise IcrError(f"cannot write {path}: {error.strerror}") from error


def _print_measures(m: FieldMeasures, output: str, *, first: bool) -> None:
    if output == "jsonl":
        rates = dict(zip(("read_at_0.1%", "read_at_0.5%", "read_at_1%"), m.read_rates, strict=True))
        numbers = {"whole": m.whole, "digit_error_rate": m.digit_error_rate, **rates, "ece": m.ece}
        rounded = {name: round(value, 4) for name, value in numbers.items()}
        accepted = {"accepted": m.accepted, "accepted_wrong": m.accepted_wrong}
        bounds = {"wrong_at_least": round(m.wrong_at_least, 5), "wrong_at_most": round(m.wrong_at_most, 5)}
        click.echo(json.dumps({"set": m.source, "half": m.half, "fields": m.fields, **rounded, **accepted, **bounds}))
        return
    if first:
        titles = ("fields", "whole", "digit err", "read .1%", "read .5%", "read 1%", "ECE", "accepted", "  wrong")
        click.echo(f"{'set':<24}{'half':<12}" + "".join(f"{title:>10}" for title in titles))
    numbers_text = "".join(f"{v:>10.1%}" for v in (m.whole, m.digit_error_rate, *m.read_rates, m.ece))
    wrong = f"{m.accepted_wrong} ({m.wrong_at_least:.1%} to {m.wrong_at_most:.1%})"
    click.echo(f"{m.source:<24}{m.half:<12}{m.fields:>10}{numbers_text}{m.accepted / m.fields:>10.1%}  {wrong}")


def _print_photos(scores: list[PhotoScore], half: str, output: str) -> None:
    if not scores:
        return
    digits, right, invented = (sum(getattr(s, name) for s in scores) for name in ("digits", "right", "invented"))
    share, per_photo = right / digits, invented / len(scores)
    if output == "jsonl":
        row = {"set": scores[0].source, "half": half, "photos": len(scores), "digits_right": round(share, 4)}
        click.echo(json.dumps({**row, "digits_invented_per_photo": round(per_photo, 2)}))
        return
    figures = f"{len(scores):>10} photos, {share:.1%} of digits right, {per_photo:.1f} invented"
    click.echo(f"{scores[0].source:<24}{half:<12}{figures}")


def _print_digits(score: DigitScore, output: str) -> None:
    if output == "jsonl":
        row = {"set": score.source, "half": score.half, "digits": score.digits}
        click.echo(json.dumps({**row, "digits_right": round(score.right, 4)}))
        return
    click.echo(f"{score.source:<24}{score.half:<12}{score.digits:>10} digits, {score.right:.2%} right")


def _print_time(milliseconds: float, fields: int, output: str) -> None:
    if output == "jsonl":
        click.echo(json.dumps({"six_digits_ms": round(milliseconds, 2), "fields": fields}))
        return
    click.echo(f"one field of six digits, crop to reading, median over {fields} check amounts: {milliseconds:.2f} ms")
