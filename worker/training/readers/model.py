"""From the weights of ``train_readers`` to the shipped models: the general reader first, then the line reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from worker.models.card import ModelCard, card_path, read_card
from worker.models.runtime import GENERAL, LINE_READER, MODELS_DIR
from worker.training.fields.model import TrainedNet, make_model
from worker.training.fields.net import FieldsNet
from worker.training.general.eight_bits import draw_lines
from worker.training.general.model import make_general_model
from worker.training.general.net import GeneralNet
from worker.training.general.train import SHARE_OF_TUNED, follow

SHARE_GONE_ON = 0.6
"""Where the shipped weights lie between those of the version before and the trained ones.

Measured in docs/lab-notebook/general-reader.md.
"""


def ship_readers(
    weights: Path,
    begin: GeneralNet,
    *,
    begins_shipped: bool,
    data_dir: Path,
    models_dir: Path = MODELS_DIR,
    report: Callable[[str], None] = print,
) -> tuple[ModelCard, ModelCard]:
    """Export both readers, calibrate them, and write their models and cards; the former card tells what went before.

    The general reader lies between the weights that it began with, published or shipped, and the trained ones.
    """
    content = torch.load(weights, weights_only=True, map_location="cpu")
    first, *others = content["averaged"]
    general = _general_to_ship(begin, first, SHARE_GONE_ON if begins_shipped else SHARE_OF_TUNED)
    counts = {"lines": content["lines"]["general"], "drawn": content["drawn"]["general"]}
    settings = {**counts, "minutes": round(content["minutes"], 1), "device": content["device"]}
    if begins_shipped:
        former = read_card(card_path(models_dir / GENERAL))
        settings["before"] = {"version": former.version, **former.settings}
    card = make_general_model(general, settings, draw_lines(data_dir, 0), models_dir=models_dir, report=report)
    trained = _line_networks(others, content, read_card(card_path(models_dir / LINE_READER)))
    return card, make_model(trained, data_dir=data_dir, models_dir=models_dir, report=report)


def _general_to_ship(begin: GeneralNet, weights: dict[str, torch.Tensor], share: float) -> GeneralNet:
    tuned = GeneralNet()
    tuned.load_state_dict(weights)
    shipped = begin.requires_grad_(False).eval()
    follow(shipped, tuned, 1 - share)
    return shipped


def _line_networks(
    weights: list[dict[str, torch.Tensor]], content: dict[str, Any], former: ModelCard
) -> list[TrainedNet]:
    """Return the line reader's networks; lines and minutes go on from those of the card they began with."""
    share = content["lines"]["line"] // len(weights)
    before = zip(*(former.settings[name] for name in ("seeds", "lines", "minutes")), strict=True)
    found = []
    for own, (seed, lines, minutes) in zip(weights, before, strict=True):
        net = FieldsNet()
        net.load_state_dict(own)
        net.requires_grad_(False).eval()
        found.append(TrainedNet(net, seed, lines + share, minutes + content["minutes"]))
    return found
