"""Train the line reader on drawn strings: from a seed, limited by minutes, in resumable stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.fields.net import CLASSES, FieldsNet
from worker.training.fields.samples import LineSample, SamplePool, stack_lines
from worker.training.optimizers import MuonAdamW
from worker.training.precision import mixed_precision

BLANK = CLASSES - 1
UNREADABLE = 1 / 32
"""Share of every batch's written lines that is masked (highest loss): some drawings show what nobody could read."""
SHARE_OF_LAST = 2 / 3
"""Weight of a prolonged training's end beside the former end (measured: docs/lab-notebook/reading.md)."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How long and how to train.

    The learning rate warms up, stays constant, and falls to zero over the last ``decay`` share of ``minutes``. From
    any checkpoint before the fall a run can be prolonged, or continued with better drawings (Hu et al. 2024,
    arXiv:2404.06395).
    """

    minutes: float
    decay: float = 0.3
    seed: int = 0
    batch: int = 64
    rate: float = 2e-3
    warmup_steps: int = 300
    average: float = 0.998
    processes: int = 1
    checkpoint_minutes: float = 4.0


@dataclass
class TrainingState:
    """The network, its running average and the optimizer.

    ``former`` is the running average at the end of an earlier, ``ended`` training of this network, at rate zero.
    """

    net: FieldsNet
    averaged: FieldsNet
    optimizer: MuonAdamW
    step: int = 0
    lines: int = 0
    minutes: float = 0.0
    ended: bool = False
    former: dict[str, Tensor] | None = None

    @classmethod
    def fresh(cls, rate: float, seed: int, device: str) -> TrainingState:
        """Return an untrained state."""
        torch.manual_seed(seed)
        net = FieldsNet().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = FieldsNet().to(device)
        averaged.load_state_dict(net.state_dict())
        averaged.requires_grad_(False).eval()
        return cls(net, averaged, MuonAdamW(net, rate))

    def prolong(self) -> None:
        """Keep the weights of this end, to be averaged with those of the next end."""
        self.former = {name: value.clone() for name, value in self.averaged.state_dict().items()}
        self.ended = False

    def to_ship(self) -> FieldsNet:
        """Return the running average; for a prolonged training, averaged with that of the former end.

        Both ends lie in one basin, and weights between them read unusual paper better than either (Wortsman et al.
        2022, arXiv:2203.05482).
        """
        net, last = FieldsNet(), FieldsNet()
        last.load_state_dict(self.averaged.state_dict())
        net.load_state_dict(self.former or self.averaged.state_dict())
        _follow(net, last, 1 - SHARE_OF_LAST)
        return net.requires_grad_(False).eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        content: dict[str, object] = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        content |= {name: getattr(self, name) for name in _COUNTS}
        torch.save(content, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        content = torch.load(path, weights_only=True)
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(content[name])
        for name in _COUNTS:
            setattr(self, name, content.get(name, getattr(self, name)))


_STATEFUL = ("net", "averaged", "optimizer")
_COUNTS = ("step", "lines", "minutes", "ended", "former")


def train_fields(
    plan: TrainingPlan,
    data_dir: Path,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> TrainingState:
    """Train one network for ``plan.minutes``; ``folder`` holds its checkpoint and the drawn shapes.

    With ``resume`` it continues from its checkpoint, if there is one, and trains for the rest of its minutes; a
    training that had ended continues for the minutes beyond its former ones.
    """
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    state = TrainingState.fresh(plan.rate, plan.seed, device)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"network-{plan.seed}.pt"
    if resume and checkpoint.exists():
        state.load(checkpoint)
    if state.minutes >= plan.minutes:
        return state
    if state.ended:
        state.prolong()
    pool = SamplePool(plan.seed + state.step, data_dir, folder / "shapes.npz", plan.processes)
    try:
        pool.refill(at_least=12 * plan.batch)
        _train_until_done(state, pool, plan, checkpoint, report)
    finally:
        pool.close()
    return state


def _train_until_done(
    state: TrainingState, pool: SamplePool, plan: TrainingPlan, checkpoint: Path, report: Callable[[str], None]
) -> None:
    rng = np.random.default_rng([plan.seed, state.step])
    saved = time.monotonic()
    losses: list[float] = []
    while state.minutes < plan.minutes:
        started = time.monotonic()
        pool.refill()
        for batch in pool.batches(rng, size=plan.batch, count=8):
            rate = _rate(plan, state.step, state.minutes / plan.minutes)
            losses.append(_step(state, batch, rate, plan.average))
        state.minutes += (time.monotonic() - started) / 60
        if time.monotonic() - saved > 60 * plan.checkpoint_minutes:
            saved = time.monotonic()
            state.save(checkpoint)
        if state.step % 160 < 8:
            rest = plan.minutes - state.minutes
            report(
                f"network {plan.seed} step {state.step} lines {state.lines} drawn {pool.drawn} "
                f"loss {np.mean(losses):.3f} rate {rate:.1e} {rest:.0f} min left"
            )
            losses.clear()
    state.ended = True
    state.save(checkpoint)


def _rate(plan: TrainingPlan, steps: int, progress: float) -> float:
    warm = min(1.0, (steps + 1) / plan.warmup_steps)
    fall = min(1.0, (1 - progress) / plan.decay) if plan.decay else 1.0
    return plan.rate * warm * max(fall, 0.01)


def _step(state: TrainingState, batch: list[LineSample], rate: float, average: float) -> float:
    state.optimizer.set_rate(rate)
    device = next(state.net.parameters()).device
    lines = torch.from_numpy(stack_lines(batch)).to(device).unsqueeze(1).float() / 255
    state.net.train()
    with mixed_precision():
        answers = state.net(lines.contiguous(memory_format=torch.channels_last))
    loss = ctc_loss(answers, batch, left_out=UNREADABLE)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.net.parameters(), 2.0)
    state.optimizer.step()
    state.step += 1
    state.lines += len(batch)
    _follow(state.averaged, state.net, min(average, 1 - 1 / (1 + state.step / 10)))
    return loss.item()


def ctc_loss(log_probabilities: Tensor, batch: list[LineSample], *, left_out: float = 0.0) -> Tensor:
    """Return the mean over lines of the CTC loss, divided by the text's length (Graves et al. 2006).

    Every line is taken at the whole width of the batch, so that the network learns to write nothing on empty paper.
    ``left_out`` is the share of the written lines with the highest loss that are masked. Empty lines always count,
    because their loss is high where the network reads what is not there.
    """
    lengths = torch.tensor([len(s.target) for s in batch])
    targets = torch.from_numpy(np.concatenate([s.target for s in batch]))
    times = torch.full((len(batch),), log_probabilities.shape[1])
    losses = nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1), targets, times, lengths, blank=BLANK, zero_infinity=True, reduction="none"
    )
    written, empty = losses[lengths > 0] / lengths[lengths > 0].to(losses), losses[lengths == 0]
    kept = len(written) - round(left_out * len(written))
    return torch.cat([written.topk(kept, largest=False).values, empty]).mean()


@torch.no_grad()
def _follow(averaged: FieldsNet, net: FieldsNet, share: float) -> None:
    ours, theirs = averaged.state_dict(), net.state_dict()
    floats = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[n] for n in floats], [theirs[n] for n in floats], 1 - share)
