"""Fine-tune the general reader on drawn lines: from the published weights and a seed, in resumable stages."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.fields.samples import LineSample, SamplePool
from worker.training.fields.train import UNREADABLE, ctc_loss
from worker.training.general.net import GREY_MIDDLE, GeneralNet
from worker.training.general.samples import make_drawer, stack_cuts, vary_cut
from worker.training.precision import mixed_precision

CAPACITY = 6000
"""Lines in the pool: each is used about twice, and makes way (30,000 used again and again were too few)."""
SHARE_OF_TUNED = 2 / 3
"""Where the shipped weights lie between published and tuned ones (measured: docs/lab-notebook/general-reader.md)."""


@dataclass(frozen=True, slots=True)
class GeneralPlan:
    """How long and how to fine-tune; the rates rise over ``warmup_steps`` and fall as a cosine over ``minutes``.

    ``head_rate`` is that of what is behind the backbone: it had 18,710 characters to tell apart, and has 17.
    """

    minutes: float = 150.0
    seed: int = 0
    batch: int = 32
    rate: float = 3e-4
    head_rate: float = 6e-4
    weight_decay: float = 0.01
    warmup_steps: int = 100
    average: float = 0.998
    processes: int = 1
    checkpoint_minutes: float = 2.0


@dataclass
class GeneralState:
    """The network, its running average, the optimizer, and how far the training is."""

    net: GeneralNet
    averaged: GeneralNet
    optimizer: torch.optim.AdamW
    step: int = 0
    lines: int = 0
    drawn: int = 0
    minutes: float = 0.0

    @classmethod
    def begin(cls, pretrained: GeneralNet, plan: GeneralPlan) -> GeneralState:
        """Return the state before the first step."""
        net = pretrained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        averaged = copy.deepcopy(net).requires_grad_(False).eval()
        backbone = list(net.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        others = [parameter for parameter in net.parameters() if id(parameter) not in known]
        groups = [{"params": backbone, "lr": plan.rate}, {"params": others, "lr": plan.head_rate}]
        return cls(net, averaged, torch.optim.AdamW(groups, weight_decay=plan.weight_decay))

    def to_ship(self, published: GeneralNet) -> GeneralNet:
        """Return the running average, ``SHARE_OF_TUNED`` of the way from the published weights to it.

        What lies between both reads strange paper better than either (Wortsman et al. 2022, arXiv:2109.01903).
        """
        net = copy.deepcopy(published).requires_grad_(False).eval()
        follow(net, self.averaged, 1 - SHARE_OF_TUNED)
        return net

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        content: dict[str, object] = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        content |= {name: getattr(self, name) for name in _COUNTS}
        torch.save(content, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        content = torch.load(path, weights_only=True)
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(content[name])
        for name in _COUNTS:
            setattr(self, name, content[name])


_STATEFUL = ("net", "averaged", "optimizer")
_COUNTS = ("step", "lines", "drawn", "minutes")


def train_general(
    plan: GeneralPlan,
    pretrained: GeneralNet,
    data_dir: Path,
    folder: Path,
    *,
    resume: bool = False,
    report: Callable[[str], None] = print,
) -> GeneralState:
    """Fine-tune for ``plan.minutes``; ``folder`` holds the checkpoint and the drawn shapes.

    With ``resume`` it goes on from its checkpoint, where there is one, for what is left of its minutes.
    """
    torch.set_num_threads(1)
    torch.manual_seed(plan.seed)
    state = GeneralState.begin(pretrained, plan)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"general-{plan.seed}.pt"
    if resume and checkpoint.exists():
        state.load(checkpoint)
    if state.minutes >= plan.minutes:
        return state
    pool = SamplePool(
        plan.seed + state.step,
        data_dir,
        folder / "shapes.npz",
        plan.processes,
        capacity=CAPACITY,
        make_drawer=make_drawer,
        vary=vary_cut,
        most_ahead=CAPACITY,
    )
    try:
        pool.refill(at_least=CAPACITY // 6)
        _train_until_done(state, pool, plan, checkpoint, report)
    finally:
        pool.close()
    return state


def _train_until_done(
    state: GeneralState, pool: SamplePool, plan: GeneralPlan, checkpoint: Path, report: Callable[[str], None]
) -> None:
    rng = np.random.default_rng([plan.seed, state.step])
    rates = [group["lr"] for group in state.optimizer.param_groups] if not state.step else [plan.rate, plan.head_rate]
    drawn_before, saved = state.drawn, time.monotonic()
    losses: list[float] = []
    while state.minutes < plan.minutes:
        started = time.monotonic()
        pool.refill()
        for batch in pool.batches(rng, size=plan.batch, count=16):
            progress = min(1.0, state.minutes / plan.minutes)
            factor = min(1.0, (state.step + 1) / plan.warmup_steps) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * max(factor, 0.01)
            losses.append(take_step(state, batch, plan.average))
        state.drawn = drawn_before + pool.drawn
        state.minutes += (time.monotonic() - started) / 60
        if time.monotonic() - saved > 60 * plan.checkpoint_minutes:
            saved = time.monotonic()
            state.save(checkpoint)
        if state.step % 96 < 16:
            report(
                f"step {state.step} lines {state.lines} drawn {state.drawn} loss {np.mean(losses):.3f} "
                f"{plan.minutes - state.minutes:.1f} min left"
            )
            losses.clear()
    state.save(checkpoint)


def take_step(state: GeneralState, batch: list[LineSample], average: float) -> float:
    """Take one step along a batch, move the running average after it, and return the loss."""
    state.net.train()
    greys = torch.from_numpy(stack_cuts(batch)).unsqueeze(1).float() / GREY_MIDDLE - 1
    with mixed_precision():
        answers = state.net(greys.contiguous(memory_format=torch.channels_last))
    loss: Tensor = ctc_loss(answers, batch, left_out=UNREADABLE)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.net.parameters(), 2.0)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    state.lines += len(batch)
    follow(state.averaged, state.net, min(average, 1 - 1 / (1 + state.step / 10)))
    return float(loss.item())


@torch.no_grad()
def follow(averaged: nn.Module, net: nn.Module, share: float) -> None:
    """Move ``averaged`` towards ``net``, keeping ``share`` of what it was."""
    ours: list[Tensor] = list(averaged.parameters())
    theirs: list[Tensor] = list(net.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - share)
