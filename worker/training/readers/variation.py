"""Vary a batch of pictures on the device as ``vary_cut`` and ``vary_line`` vary single ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from worker.fields.line_reader.general_line import FILL, GENERAL_STRIDE
from worker.fields.line_reader.normalization import WIDTH_STRIDE
from worker.training.readers.bank import Batch

ROOM = 1.16
"""How much wider than the widest picture a varied batch is."""


def vary_cuts(batch: Batch) -> Tensor:
    """Stretch, slant and shift cuts a little, vary their contrast, soften them or add noise.

    Returns (N, 1, 48, W) float32 greys from 0 to 255, each filled up on the right with middle grey.
    """
    n, _, width = batch.images.shape
    device = batch.images.device
    least = GENERAL_STRIDE * (torch.from_numpy(batch.lengths).to(device) + 0.5)
    stretch = torch.maximum(torch.exp(_normal(n, 0.08, device)), least / batch.widths)
    slant, grow = _normal(n, 0.06, device), torch.exp(_normal(n, 0.05, device))
    out = _multiple(width * ROOM, GENERAL_STRIDE)
    wide = (batch.widths * stretch).round().clamp(max=out)
    stretch = wide / batch.widths
    grey, columns = _warp(batch, out, (stretch, slant, grow, _normal(n, 0.8, device)), offset=None)
    gain, middle = torch.exp(_normal(n, 0.25, device)), _uniform(n, 90, 200, device)
    contrast = (grey - _broad(middle)) * _broad(gain) + _broad(middle + _normal(n, 12, device))
    grey = torch.where(_chance(n, 0.6, device), contrast.clamp(0, 255), grey)
    grey = torch.where(_chance(n, 0.15, device), _soften(grey), grey)
    noise = torch.randn_like(grey) * _broad(_uniform(n, 1, 8, device))
    grey = torch.where(_chance(n, 0.15, device), (grey + noise).clamp(0, 255), grey)
    return torch.where(columns < wide[:, None, None, None], grey, torch.full_like(grey, float(FILL)))


def vary_lines(batch: Batch) -> Tensor:
    """Shift, scale and slant lines a little and vary their contrast and margins, as if they were found inexactly.

    Returns (N, 1, 40, W) float32 in [0, 1], 1 = ink.
    """
    n, _, width = batch.images.shape
    device = batch.images.device
    grow = torch.exp(_normal(n, 0.10, device))
    stretch = torch.exp(_normal(n, 0.07, device)) * grow**0.6
    out = _multiple(width * ROOM + 16, WIDTH_STRIDE)
    stretch = torch.minimum(stretch, out / batch.widths)
    room = (out - batch.widths * stretch).clamp(min=0)
    offset = torch.minimum(room, _uniform(n, 0, 12, device))
    offset = torch.where(torch.rand(n, device=device) < 0.15, room * torch.rand(n, device=device), offset)
    ink, _ = _warp(batch, out, (stretch, _normal(n, 0.10, device), grow, _normal(n, 1.5, device)), offset=offset)
    ink = torch.where(_chance(n, 0.2, device), _soften(ink), ink) / 255
    gamma = torch.exp(_normal(n, 0.35, device))
    return torch.where(_chance(n, 0.5, device), ink.clamp(1e-4, 1) ** _broad(gamma), ink)


def _warp(
    batch: Batch, out: int, change: tuple[Tensor, Tensor, Tensor, Tensor], *, offset: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sample pictures (N, 1, H, ``out``) after a change: stretch, slant, growth and shift, each (N,).

    Without ``offset`` the edge columns and rows are repeated; with it a picture begins there, amid nothing.
    Returns the pictures and their column numbers (1, 1, 1, out).
    """
    stretch, slant, grow, shift = map(_broad, change)
    _, height, width = batch.images.shape
    device = batch.images.device
    columns = torch.arange(out, device=device, dtype=torch.float32).view(1, 1, 1, out)
    rows = torch.arange(height, device=device, dtype=torch.float32).view(1, 1, height, 1)
    middle = (height - 1) / 2
    source_y = (rows - middle - shift) / grow + middle
    start = 0.0 if offset is None else _broad(offset)
    source_x = (columns - start - slant * (source_y - middle)) / stretch
    source_y = source_y.expand_as(source_x)
    if offset is None:
        source_x = torch.minimum(source_x.clamp(min=0), _broad(batch.widths - 1))
    grid = torch.stack([2 * source_x / (width - 1) - 1, 2 * source_y / (height - 1) - 1], dim=-1).squeeze(1)
    padding = "border" if offset is None else "zeros"
    pictures = batch.images.unsqueeze(1).float()
    return F.grid_sample(pictures, grid, padding_mode=padding, align_corners=True), columns


def _soften(pictures: Tensor) -> Tensor:
    """Blur each picture by a share of its own: between itself and a Gaussian of about one pixel."""
    kernel = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06], device=pictures.device)
    padded = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    return torch.lerp(pictures, blurred, _broad(_uniform(len(pictures), 0.3, 1.0, pictures.device)))


def _multiple(width: float, stride: int) -> int:
    return -(-round(width) // stride) * stride


def _broad(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _normal(n: int, sigma: float, device: torch.device) -> Tensor:
    return sigma * torch.randn(n, device=device)


def _uniform(n: int, low: float, high: float, device: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(n, device=device)


def _chance(n: int, share: float, device: torch.device) -> Tensor:
    return _broad(torch.rand(n, device=device)) < share
