"""Train the production digit network, with a checkpoint after each epoch, so that a stop costs one at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from worker.training.digits.net import AugmentedEpochs, DistilledEpochs, Progression, Schedule, make_estimator
from worker.training.digits.pool import BOTH_SHARES, HARMED_SHARES, Pool, with_shares

Report = Callable[[str], None]
Weights = Mapping[str, Tensor]


@dataclass(eq=False)
class Checkpoints(Callback):  # type: ignore[misc]
    """Writes the whole state of a training after each epoch, and continues from it."""

    path: Path
    progression: Progression
    epochs: AugmentedEpochs
    report: Report
    start: Weights | None = None
    _started: float = field(default_factory=time.monotonic)
    _first: int = 0

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Begin at given weights, or continue a training that was stopped, if its schedule was the same."""
        if self.start is not None:
            net.module_.load_state_dict(self.start)
            self.progression.average.module.load_state_dict(self.start)
        if not self.path.exists():
            return
        state = torch.load(self.path, weights_only=True)
        if state["schedule"] != asdict(self.epochs.schedule):
            self.report(f"{self.path} is of another schedule: starting anew")
            return
        net.module_.load_state_dict(state["weights"])
        self.progression.average.load_state_dict(state["average"])
        net.optimizer_.load_state_dict(state["optimizer"])
        self.progression.step, self.epochs.epoch = state["step"], state["epoch"]
        self._first = state["epoch"]
        net.set_params(max_epochs=self.epochs.schedule.epochs - state["epoch"])
        self.report(f"taking up after epoch {state['epoch']}")

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Save, and say how long the rest will take."""
        state = {
            "weights": net.module_.state_dict(),
            "average": self.progression.average.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "step": self.progression.step,
            "epoch": self.epochs.epoch,
            "schedule": asdict(self.epochs.schedule),
        }
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)
        done, total = self.epochs.epoch, self.epochs.schedule.epochs
        spent = time.monotonic() - self._started
        left = spent / (done - self._first) * (total - done)
        loss = net.history[-1, "train_loss"]
        self.report(f"epoch {done}/{total}  loss {loss:.4f}  {left / 60:.0f} min left")


def train_cnn(
    pool: Pool,
    schedule: Schedule,
    *,
    run_dir: Path,
    report: Report,
    start: Weights | None = None,
    teachers: tuple[nn.Module, ...] = (),
) -> Any:
    """Train one network, or continue its training; return the skorch estimator with the averaged weights in place.

    ``start`` gives its first weights. With ``teachers`` it learns their joint answers instead of the labels.
    """
    torch.manual_seed(schedule.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    epochs = DistilledEpochs(pool, schedule, teachers=teachers) if teachers else AugmentedEpochs(pool, schedule)
    progression = Progression(schedule)
    checkpoints = Checkpoints(run_dir / "checkpoint.pt", progression, epochs, report, start)
    estimator = make_estimator(schedule, epochs, ("progression", progression), ("checkpoints", checkpoints))
    estimator.fit(pool.images, pool.labels)
    estimator.module_.load_state_dict(progression.average.module.state_dict())
    return estimator


def train_distilled(pool: Pool, schedule: Schedule, *, run_dir: Path, report: Report) -> Any:
    """Train the shipped network in three parts, each kept and continued after a stop; return the estimator.

    One network learns from strongly augmented images and reads unusual paper best. Another learns from plainer images,
    with more of MNIST, and reads clean ink best. The second then continues and learns the joint answers of both.
    """
    harmed = replace(schedule, epochs=schedule.epochs + 4, mixture="harmed")
    report("first teacher: much harmed images")
    first = train_cnn(with_shares(pool, HARMED_SHARES), harmed, run_dir=run_dir / "harmed", report=report)
    report("second teacher: plainer images")
    second = train_cnn(pool, schedule, run_dir=run_dir / "plain", report=report)
    report("learning what both answer")
    last = replace(schedule, epochs=max(1, schedule.epochs // 4), mixture="both", peak_rate=schedule.peak_rate / 2)
    return train_cnn(
        with_shares(pool, BOTH_SHARES),
        last,
        run_dir=run_dir,
        report=report,
        start=second.module_.state_dict(),
        teachers=(first.module_, second.module_),
    )
