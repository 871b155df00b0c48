"""The network that tells altered digits from clean ones, and its training: drawn digits, minutes on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from worker.digits.framing import FRAME
from worker.training.alterations.samples import ALTERED, NOT_ASKED, Digits, Drawings
from worker.training.precision import mixed_precision

WIDTHS = (16, 24, 32, 48)
CHUNK = 2000
"""Drawn digits that are kept at a time, so that a stop costs a few seconds of drawing."""


class AlterationNet(nn.Module):
    """Plain convolutions at 16, 8 and 4 pixels: (N, 32, 32) uint8 to (N, 10) float32 logits.

    The logit of a digit says that the ink is altered if it is read as that digit.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = WIDTHS
        self.features = nn.Sequential(
            *_convolution(1, first, kernel=5, stride=2),
            *_convolution(first, second),
            *_convolution(second, third, stride=2),
            *_convolution(third, third),
            *_convolution(third, fourth, stride=2),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(fourth * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits; the division by 255 is part of the model."""
        ink = images.to(torch.float32).div(255).view(-1, 1, FRAME, FRAME)
        return self.head(self.dropout(self.features(ink)))  # type: ignore[no-any-return]


def _convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


@dataclass(frozen=True, slots=True)
class AlterationPlan:
    """How many digits are drawn, and how long they are learned."""

    digits: int = 90_000
    epochs: int = 15
    batch: int = 128
    rate: float = 3e-3
    seed: int = 0


def draw_pool(plan: AlterationPlan, data_dir: Path, folder: Path, report: Callable[[str], None]) -> Digits:
    """Draw the digits of a plan, or take up those that ``folder`` holds; each ``CHUNK`` has a seed of its own."""
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    drawings: Drawings | None = None
    parts = []
    for number in range(-(-plan.digits // CHUNK)):
        path = folder / f"digits-{plan.seed}-{number}.npz"
        if not path.exists():
            drawings = drawings or Drawings(data_dir, folder / "shapes.npz")
            _draw_chunk(drawings, np.random.default_rng([plan.seed, number]), path)
            report(f"drawn {(number + 1) * CHUNK} of {plan.digits}")
        with np.load(path, allow_pickle=False) as kept:
            parts.append(Digits(kept["images"], kept["targets"]))
    return Digits(np.concatenate([p.images for p in parts]), np.concatenate([p.targets for p in parts]))


def _draw_chunk(drawings: Drawings, rng: np.random.Generator, path: Path) -> None:
    found: list[Digits] = []
    while sum(len(one.images) for one in found) < CHUNK:
        found.append(drawings.draw(rng))
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial,
        images=np.concatenate([one.images for one in found])[:CHUNK],
        targets=np.concatenate([one.targets for one in found])[:CHUNK],
    )
    partial.replace(path)


def train_alterations(plan: AlterationPlan, digits: Digits, *, report: Callable[[str], None]) -> AlterationNet:
    """Train the network on (N, 32, 32) digits and their targets."""
    torch.manual_seed(plan.seed)
    net = AlterationNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=1e-2)
    steps = plan.epochs * (len(digits.images) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.rate, steps, pct_start=0.15)
    images, targets = torch.from_numpy(digits.images), torch.from_numpy(digits.targets)
    order = torch.Generator().manual_seed(plan.seed)
    net.train()
    for epoch in range(plan.epochs):
        losses = []
        rows = torch.randperm(len(images), generator=order)[: len(images) // plan.batch * plan.batch]
        for chosen in rows.view(-1, plan.batch):
            with mixed_precision():
                logits = net(vary(images[chosen]))
            loss = masked_loss(logits.float(), targets[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        report(f"epoch {epoch + 1}/{plan.epochs}  loss {np.mean(losses):.4f}")
    return net.eval()


def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of what is known: of a clean digit, that digit's logit only."""
    asked = targets != NOT_ASKED
    every = F.binary_cross_entropy_with_logits(logits, (targets == ALTERED).float(), reduction="none")
    return (every * asked).sum() / asked.sum()


def vary(images: Tensor) -> Tensor:
    """Shift, turn, slant and scale framed digits (N, 32, 32) uint8 a little, soften some, and vary their contrast."""
    n = len(images)
    matrix = torch.eye(2, 3).repeat(n, 1, 1)
    matrix[:, :, :2] *= torch.exp(0.06 * torch.randn(n, 2, 1))
    matrix[:, 0, 1] += 0.12 * torch.randn(n)
    matrix[:, 1, 0] += 0.05 * torch.randn(n)
    matrix[:, :, 2] = 0.05 * torch.randn(n, 2)
    grid = F.affine_grid(matrix, [n, 1, FRAME, FRAME], align_corners=False)
    ink = F.grid_sample(images.unsqueeze(1).float(), grid, align_corners=False)
    soft = F.avg_pool2d(ink, 3, 1, 1)
    share = (torch.rand(n, 1, 1, 1) - 0.5).clamp(min=0)
    ink = torch.lerp(ink, soft, share)
    gamma = torch.exp(0.3 * torch.randn(n, 1, 1, 1))
    return (255 * (ink / 255).clamp(1e-4, 1) ** gamma).squeeze(1)
