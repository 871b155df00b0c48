"""Train the general reader and the line reader's networks together, on pictures of the same drawn fields."""

from __future__ import annotations

import copy
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worker.training.fields.net import FieldsNet
from worker.training.fields.train import BLANK, UNREADABLE
from worker.training.general.net import GREY_MIDDLE, GeneralNet
from worker.training.general.train import follow
from worker.training.optimizers import MuonAdamW
from worker.training.precision import mixed_precision
from worker.training.readers.bank import Bank, Batch
from worker.training.readers.drawing import Chunk, View, start_drawers
from worker.training.readers.variation import vary_cuts, vary_lines
from worker.training.restoring import fill_normalizations

FIRST_PICTURES = 4096
"""Pictures of each view before the first step."""
SEEN_LINES = 1024
"""Lines that fill the restored networks' normalizations."""
PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class ReadersPlan:
    """How long and how to train; rates rise over ``warmup_steps`` and fall as a cosine over ``minutes``.

    ``most_uses`` is how often a picture is used on average at most, with another variation each time; training waits
    for drawings before it uses them oftener. ``line_batches`` is how many batches the line reader's networks take for
    ten of the general reader's. The first ``kept_layers`` of its backbone keep their weights: with 11 of 15, a step
    takes half the time.
    """

    minutes: float
    seed: int = 0
    drawers: int = 1
    batch: int = 512
    rate: float = 6e-4
    head_rate: float = 1.2e-3
    line_rate: float = 1.5e-3
    warmup_steps: int = 200
    average: float = 0.998
    most_uses: float = 4.0
    capacity: int = 1_000_000
    line_batches: int = 5
    kept_layers: int = 0

    @classmethod
    def going_on(cls, minutes: float, seed: int, drawers: int) -> ReadersPlan:
        """Return a plan that starts from shipped weights of both readers, on a machine without a GPU."""
        return cls(
            minutes,
            seed,
            drawers,
            batch=96,
            rate=1.5e-4,
            head_rate=3e-4,
            line_rate=5e-4,
            warmup_steps=50,
            most_uses=2.0,
            kept_layers=11,
        )


class GeneralLearner:
    """The general reader, its running average and AdamW."""

    view: View = "general"

    def __init__(self, net: GeneralNet, plan: ReadersPlan, device: torch.device) -> None:
        self.net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.net.backbone[: plan.kept_layers].requires_grad_(False)
        backbone = list(self.net.backbone.parameters())
        known = {id(each) for each in backbone}
        others = [each for each in self.net.parameters() if id(each) not in known]
        groups = [{"params": backbone, "lr": plan.rate}, {"params": others, "lr": plan.head_rate}]
        self._rates = (plan.rate, plan.head_rate)
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.01, fused=device.type == "cuda")

    def vary(self, batch: Batch) -> Tensor:
        """Return what the network sees of a batch."""
        return vary_cuts(batch) / GREY_MIDDLE - 1

    def step(self, factor: float) -> None:
        """Take one step along the gradients at ``factor`` of the highest rates, and clear them."""
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


class LineLearner:
    """One network of the line reader, its running average and Muon."""

    view: View = "line"

    def __init__(self, net: FieldsNet, plan: ReadersPlan, device: torch.device) -> None:
        self.net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.net).requires_grad_(False).eval()
        self._rate = plan.line_rate
        self._optimizer = MuonAdamW(self.net, plan.line_rate)

    def vary(self, batch: Batch) -> Tensor:
        """Return what the network sees of a batch."""
        return vary_lines(batch)

    def step(self, factor: float) -> None:
        """Take one step along the gradients at ``factor`` of the highest rate, and clear them."""
        self._optimizer.set_rate(self._rate * factor)
        self._optimizer.step()


Learner = GeneralLearner | LineLearner


@dataclass
class ReadersState:
    """The learners and how far they are: ``lines`` each view used and ``drawn`` pictures of each."""

    learners: Sequence[Learner]
    steps: int = 0
    minutes: float = 0.0
    lines: dict[View, int] = field(default_factory=dict)
    drawn: dict[View, int] = field(default_factory=dict)
    device: str = "cpu"

    def save(self, path: Path) -> None:
        """Write the running averages, and what was used, whole or not at all."""
        content: dict[str, Any] = {
            "averaged": [learner.averaged.state_dict() for learner in self.learners],
            "steps": self.steps,
            "minutes": self.minutes,
            "lines": self.lines,
            "drawn": self.drawn,
            "device": self.device,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)


def train_readers(
    plan: ReadersPlan,
    general: GeneralNet,
    lines: Sequence[FieldsNet],
    data_dir: Path,
    folder: Path,
    *,
    report: Callable[[str], None] = print,
) -> ReadersState:
    """Train for ``plan.minutes`` on a GPU where there is one; ``folder`` holds the weights and the drawn shapes.

    ``lines`` are restored networks whose normalizations are not filled yet.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    drawers, chunks = start_drawers(plan.drawers, plan.seed, data_dir, folder / "shapes.npz")
    banks: dict[View, Bank] = {view: Bank(view, plan.capacity, device) for view in ("general", "line")}
    arrived = _collect(chunks)
    try:
        while min(bank.taken for bank in banks.values()) < FIRST_PICTURES:
            _take(arrived, banks, wait=True)
        rng = np.random.default_rng([plan.seed, 5])
        seen = vary_lines(banks["line"].batch(rng, SEEN_LINES))
        for net in lines:
            fill_normalizations(net.to(device), seen)
        state = ReadersState([GeneralLearner(general, plan, device), *(LineLearner(n, plan, device) for n in lines)])
        state.device = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        _train_until_done(state, banks, arrived, plan, rng, folder / "readers.pt", report)
    finally:
        for drawer in drawers:
            drawer.terminate()
    return state


def _collect(chunks: Any) -> queue.SimpleQueue[list[Chunk]]:
    """Take chunks off the pipe as they come, beside the training."""
    arrived: queue.SimpleQueue[list[Chunk]] = queue.SimpleQueue()

    def pass_on() -> None:
        while True:
            arrived.put(chunks.get())

    threading.Thread(target=pass_on, daemon=True).start()
    return arrived


def _take(arrived: queue.SimpleQueue[list[Chunk]], banks: dict[View, Bank], *, wait: bool) -> None:
    """Keep every chunk that has come; with ``wait`` at least one."""
    while True:
        try:
            found = arrived.get(block=wait, timeout=PATIENCE_S)
        except queue.Empty:
            if wait:
                raise
            return
        wait = False
        for chunk in found:
            banks[chunk.view].keep(chunk)


def _train_until_done(
    state: ReadersState,
    banks: dict[View, Bank],
    arrived: queue.SimpleQueue[list[Chunk]],
    plan: ReadersPlan,
    rng: np.random.Generator,
    path: Path,
    report: Callable[[str], None],
) -> None:
    started = reported = saved = time.monotonic()
    losses: list[list[Tensor]] = [[] for _ in state.learners]
    while (progress := (time.monotonic() - started) / 60 / plan.minutes) < 1:
        _take(arrived, banks, wait=banks["general"].used > plan.most_uses * banks["general"].taken)
        factor = min(1.0, (state.steps + 1) / plan.warmup_steps) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for learner, own in zip(state.learners, losses, strict=True):
            if learner.view == "line" and state.steps % 10 >= plan.line_batches:
                continue
            own.append(take_step(learner, banks[learner.view].batch(rng, plan.batch), max(factor, 0.01), plan, state))
        state.steps += 1
        if time.monotonic() - reported > 10:
            reported = time.monotonic()
            state.minutes = (reported - started) / 60
            state.lines = {view: bank.used for view, bank in banks.items()}
            state.drawn = {view: bank.taken for view, bank in banks.items()}
            means = " ".join(f"{torch.stack(own).mean().item():.3f}" for own in losses if own)
            losses = [[] for _ in state.learners]
            report(
                f"{state.minutes:.1f} min, step {state.steps}, used {state.lines}, drawn {state.drawn}, loss {means}"
            )
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            state.save(path)
    state.save(path)


def take_step(learner: Learner, batch: Batch, factor: float, plan: ReadersPlan, state: ReadersState) -> Tensor:
    """Take one step of a network along a batch, and move its running average; return the loss."""
    pictures = learner.vary(batch).contiguous(memory_format=torch.channels_last)
    learner.net.train()
    with mixed_precision():
        answers = learner.net(pictures)
    loss = batch_loss(answers, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(learner.net.parameters(), 2.0)
    learner.step(factor)
    follow_all(learner.averaged, learner.net, min(plan.average, 1 - 1 / (1 + state.steps / 10)))
    return loss.detach()


def batch_loss(log_probabilities: Tensor, batch: Batch) -> Tensor:
    """Return the mean over lines of the CTC loss by the text's length, as ``ctc_loss`` of single samples does."""
    n, times, _ = log_probabilities.shape
    lengths = torch.from_numpy(batch.lengths)
    losses = nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1),
        batch.targets,
        torch.full((n,), times),
        lengths,
        blank=BLANK,
        zero_infinity=True,
        reduction="none",
    )
    written = torch.from_numpy(np.flatnonzero(batch.lengths > 0)).to(losses.device)
    empty = torch.from_numpy(np.flatnonzero(batch.lengths == 0)).to(losses.device)
    by_length = losses[written] / lengths.to(losses.device, torch.float32)[written]
    kept = len(written) - round(UNREADABLE * len(written))
    return torch.cat([by_length.topk(kept, largest=False).values, losses[empty]]).mean()


@torch.no_grad()
def follow_all(averaged: nn.Module, net: nn.Module, share: float) -> None:
    """Move ``averaged`` towards ``net``, keeping ``share`` of it; what normalizations have seen moves along."""
    follow(averaged, net, share)
    ours = [buffer for buffer in averaged.buffers() if buffer.is_floating_point()]
    theirs = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
    if ours:
        torch._foreach_lerp_(ours, theirs, 1 - share)
