"""``icr train-alterations``: the laboratory of the witness that tells altered digits from clean ones."""

from __future__ import annotations

from pathlib import Path

import click

from worker.bootstrap import Runtime, read_settings
from worker.commands.entry import pass_runtime
from worker.commands.fields_lab import NEEDS, data_dir_option, models_option
from worker.errors import IcrError


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
    try:
        from worker.training.alterations.model import make_alteration_model
        from worker.training.alterations.samples import ask_digit_model
        from worker.training.alterations.train import AlterationPlan, draw_pool
        from worker.training.alterations.train import train_alterations as train
    except ModuleNotFoundError as error:
        raise IcrError(NEEDS.format(error.name)) from error
    from worker.models.runtime import MODELS_DIR

    found = data_dir or read_settings().data_dir
    if found is None:
        raise IcrError("where are the handwriting sets? Give --data-dir or set ICR_DATA_DIR")
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
