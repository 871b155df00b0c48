"""Vary training images as real ink varies: slant, elasticity, pen width, neighbours, rules, paper, blur.

Every image then passes through ``normalize_digits``, the worker's own preprocessing, so the model trains on exactly
what it will read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from worker.digits.normalization import SIZE, normalize_digits

CANVAS = 44
"""Side in pixels of the canvas on which images are bent; larger than the model's, for fine differences of pens."""

ZOOM = 1.45
"""How much larger than normalized the ink is drawn on the canvas."""

KNOTS = 6
"""Elastic bends are drawn at 6 x 6 points and interpolated between them."""

Uint8 = NDArray[np.uint8]


def _spread_matrix() -> Tensor:
    """Return the bicubic interpolation from knots to pixels as one (36, 44 * 44) matrix: fast on a CPU."""
    unit = torch.eye(KNOTS * KNOTS).view(-1, 1, KNOTS, KNOTS)
    return nnf.interpolate(unit, size=(CANVAS, CANVAS), mode="bicubic", align_corners=True).flatten(1)


def _plane() -> Tensor:
    """Return the (44 * 44, 2) coordinates of the canvas, x then y, from -1 to 1."""
    steps = (torch.arange(CANVAS) + 0.5) * (2 / CANVAS) - 1
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"), 2).view(-1, 2)


SPREAD = _spread_matrix()
PLANE = _plane()


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong augmentation is: spreads of the geometry, and shares of images that get each kind of damage."""

    rotation_deg: float = 12.0
    slant: float = 0.35
    aspect: float = 0.25
    elastic_px: float = 1.6
    pen: float = 0.5
    broken: float = 0.08
    neighbours: float = 0.25
    rules: float = 0.1
    paper: float = 0.35
    blur: float = 0.3


STRONG = Strength()
MILD = Strength(
    rotation_deg=6.0,
    slant=0.15,
    aspect=0.12,
    elastic_px=0.8,
    pen=0.25,
    broken=0.02,
    neighbours=0.12,
    rules=0.03,
    paper=0.15,
    blur=0.15,
)
LIGHT = Strength(
    rotation_deg=5.0,
    slant=0.12,
    aspect=0.08,
    elastic_px=0.6,
    pen=0.15,
    broken=0.0,
    neighbours=0.03,
    rules=0.0,
    paper=0.05,
    blur=0.05,
)

Mixture = tuple[tuple[float, Strength | None], ...]

MIXTURES: dict[str, Mixture] = {
    "plain": ((0.25, STRONG), (0.35, MILD), (0.25, LIGHT), (0.15, None)),
    "harmed": ((0.5, STRONG), (0.5, MILD)),
    "both": ((0.4, STRONG), (0.35, MILD), (0.15, LIGHT), (0.1, None)),
}
"""The share of a batch for each strength; None leaves images as they are, because most of what is read is clean."""


def augment(images: Uint8, strength: Strength, generator: torch.Generator) -> Uint8:
    """Return as many changed images, normalized again: (N, 28, 28) uint8 in and out, white ink on black."""
    ink = torch.from_numpy(images).float().div_(255).unsqueeze(1)
    ink = _bend(ink, strength, generator)
    ink = _change_pen(ink, strength, generator)
    ink = _break_strokes(ink, strength, generator)
    ink = _add_neighbours(ink, strength, generator)
    ink = _add_rules(ink, strength, generator)
    ink = _put_on_paper(ink, strength, generator)
    return normalize_digits(ink.squeeze(1).clamp_(0, 1).mul_(255).to(torch.uint8).numpy())


def augment_mixture(images: Uint8, mixture: Mixture, generator: torch.Generator) -> Uint8:
    """Return the images of a batch, each share of the mixture changed by its strength, in the same order."""
    ends = np.round(np.cumsum([share for share, _ in mixture])[:-1] * len(images)).astype(int)
    parts = zip(np.split(images, ends), mixture, strict=True)
    return np.concatenate([p if how is None or not len(p) else augment(p, how, generator) for p, (_, how) in parts])


def _uniform(count: int, spread: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * 2 - 1) * spread


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return torch.nonzero(torch.rand(count, generator=generator) < share).squeeze(1)


def _bend(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Rotate, slant, stretch and bend elastically (Simard, Steinkraus, Platt, 2003) in one sampling."""
    count = len(ink)
    angle = _uniform(count, np.deg2rad(strength.rotation_deg), generator)
    slant = torch.randn(count, generator=generator) * strength.slant / 2
    stretch = torch.exp(_uniform(count, strength.aspect, generator))
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([cos * stretch, cos * slant - sin, sin * stretch, sin * slant + cos], 1).view(-1, 2, 2)
    matrix = matrix * (CANVAS / SIZE / ZOOM)
    knots = torch.randn(count * 2, KNOTS * KNOTS, generator=generator) * (strength.elastic_px * 2 / CANVAS)
    bend = (knots @ SPREAD).view(count, 2, -1).transpose(1, 2)
    grid = (PLANE @ matrix.transpose(1, 2) + bend).view(count, CANVAS, CANVAS, 2)
    return nnf.grid_sample(ink, grid, align_corners=False)


def _change_pen(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Thicken or thin the strokes in part, by grey morphology, because pens differ by less than a pixel."""
    chosen = _chosen(len(ink), strength.pen, generator)
    share = torch.rand(len(chosen), 1, 1, 1, generator=generator)
    thicker = torch.rand(len(chosen), 1, 1, 1, generator=generator) < 0.5
    old = ink[chosen]
    dilated = nnf.max_pool2d(old, 3, 1, 1)
    eroded = -nnf.max_pool2d(-old, 3, 1, 1)
    eroded = torch.where(eroded.amax((1, 2, 3), keepdim=True) < 0.5, old, eroded)  # never a stroke away
    ink[chosen] = torch.lerp(old, torch.where(thicker, dilated, eroded), share)
    return ink


def _break_strokes(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Fade patches of ink, as a dry pen or a hard threshold does."""
    chosen = _chosen(len(ink), strength.broken, generator)
    coarse = torch.rand(len(chosen), 1, 8, 8, generator=generator)
    patches = nnf.interpolate(coarse, size=(CANVAS, CANVAS), mode="bilinear", align_corners=True)
    ink[chosen] = ink[chosen] * ((patches - 0.18) * 8).clamp(0, 1)
    return ink


def _add_neighbours(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Let parts of other images of the batch reach in from the left, the right or both, cut by the frame."""
    whole = ink.clone()
    for index in _chosen(len(ink), strength.neighbours, generator).tolist():
        sides = int(torch.randint(0, 3, (1,), generator=generator))
        left, right = torch.randint(24, 36, (2,), generator=generator).tolist()
        one, other = torch.randint(len(ink), (2,), generator=generator).tolist()
        image = ink[index, 0]
        if sides != 0:
            image[:, right:] = torch.maximum(image[:, right:], whole[one, 0, :, : CANVAS - right])
        if sides != 1:
            image[:, : CANVAS - left] = torch.maximum(image[:, : CANVAS - left], whole[other, 0, :, left:])
    return ink


def _add_rules(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Draw what form removal leaves: part of a rule under or beside the digit."""
    for index in _chosen(len(ink), strength.rules, generator).tolist():
        start, length = torch.randint(0, 24, (2,), generator=generator).tolist()
        near, level = (
            int(torch.randint(1, 5, (1,), generator=generator)),
            float(torch.rand(1, generator=generator)),
        )
        end, thick = start + 8 + length, 1 + int(level * 2)
        side = int(torch.randint(0, 4, (1,), generator=generator))
        line = slice(near, near + thick) if side % 2 else slice(CANVAS - near - thick, CANVAS - near)
        view = ink[index, 0] if side < 2 else ink[index, 0].T
        view[line, start:end] = torch.clamp(view[line, start:end] + 0.4 + 0.6 * level, max=1)
    return ink


def _put_on_paper(ink: Tensor, strength: Strength, generator: torch.Generator) -> Tensor:
    """Blur some images; put some on grey, grainy paper with less contrast."""
    blurred = _chosen(len(ink), strength.blur, generator)
    share = torch.rand(len(blurred), 1, 1, 1, generator=generator)
    ink[blurred] = torch.lerp(ink[blurred], nnf.avg_pool2d(ink[blurred], 3, 1, 1), share)
    chosen = _chosen(len(ink), strength.paper, generator)
    size = (len(chosen), 1, 1, 1)
    contrast = 0.25 + 0.75 * torch.rand(size, generator=generator)
    grey = torch.rand(size, generator=generator) * (1 - contrast)
    grain = torch.rand(size, generator=generator) * 0.12 * contrast
    noise = torch.randn(ink[chosen].shape, generator=generator) * grain
    ink[chosen] = ink[chosen] * contrast + grey + noise
    return ink
