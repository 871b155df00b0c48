"""Train the production digit network: checkpoints after each epoch, so that a stop costs one at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from skorch.callbacks import Callback

from worker.training.net import AugmentedEpochs, Progression, Schedule, make_estimator
from worker.training.pool import Pool

Report = Callable[[str], None]


@dataclass(eq=False)
class Checkpoints(Callback):  # type: ignore[misc]
    """Writes the whole state of a training after each epoch and takes it up again."""

    path: Path
    progression: Progression
    epochs: AugmentedEpochs
    report: Report
    _started: float = field(default_factory=time.monotonic)
    _first: int = 0

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Take up a training that was stopped, if its schedule was the same."""
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


def train_cnn(pool: Pool, schedule: Schedule, *, run_dir: Path, report: Report) -> Any:
    """Train, or take up, one network; return the skorch estimator with the averaged weights in place."""
    torch.manual_seed(schedule.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    epochs, progression = AugmentedEpochs(pool, schedule), Progression(schedule)
    checkpoints = Checkpoints(run_dir / "checkpoint.pt", progression, epochs, report)
    estimator = make_estimator(schedule, epochs, ("progression", progression), ("checkpoints", checkpoints))
    estimator.fit(pool.images, pool.labels)
    estimator.module_.load_state_dict(progression.average.module.state_dict())
    return estimator


def load_average(estimator: Any, checkpoint: Path) -> Any:
    """Put the averaged weights of a checkpoint into an estimator, to look at a training that still runs."""
    estimator.initialize()
    state = torch.load(checkpoint, weights_only=True)["average"]
    weights = {k.removeprefix("module."): v for k, v in state.items() if k.startswith("module.")}
    estimator.module_.load_state_dict(weights)
    return estimator
