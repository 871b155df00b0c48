"""Drawn pictures that stay on the device: buffers of one width each, and batches out of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.training.readers.drawing import CONTENT_WIDTHS, HEIGHTS, MOST_TARGETS, Chunk, View


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pictures (N, H, W) uint8 and their widths (N,) on the device; targets (N, 24) there, lengths (N,) on the CPU."""

    view: View
    images: Tensor
    widths: Tensor
    targets: Tensor
    lengths: NDArray[np.int64]


class Bank:
    """The latest ``capacity`` pictures of a view, in buffers that grow as they fill: device memory is not wasted."""

    def __init__(self, view: View, capacity: int, device: torch.device) -> None:
        self._view, self._capacity, self._device = view, capacity, device
        self._buffers = [_Buffer(HEIGHTS[view], width, device) for width in CONTENT_WIDTHS[view]]
        self.taken = 0
        self.used = 0

    def keep(self, chunk: Chunk) -> None:
        """Add a chunk of this view."""
        self._buffers[chunk.bucket].add(chunk, self._capacity)
        self.taken += len(chunk.images)

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Return ``size`` pictures of one width, the width by how many there are of it."""
        counts = np.array([buffer.count for buffer in self._buffers], np.float64)
        buffer = self._buffers[int(rng.choice(len(counts), p=counts / counts.sum()))]
        self.used += size
        return buffer.batch(self._view, rng.integers(buffer.count, size=size))


class _Buffer:
    """Pictures of one width, oldest overwritten first once there are ``capacity``."""

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._device = device
        self._images = torch.empty((0, height, width), dtype=torch.uint8, device=device)
        self._widths = torch.empty(0, dtype=torch.float32, device=device)
        self._targets = torch.empty((0, MOST_TARGETS), dtype=torch.int64, device=device)
        self._lengths = np.zeros(0, np.int64)
        self.count = 0
        self._next = 0

    def add(self, chunk: Chunk, capacity: int) -> None:
        size = len(chunk.images)
        if self._next + size > len(self._images):
            if len(self._images) < capacity:
                self._grow(min(capacity, max(4096, 2 * len(self._images))))
            if self._next + size > len(self._images):
                self._next = 0
        at = slice(self._next, self._next + size)
        self._images[at] = torch.from_numpy(chunk.images).to(self._device, non_blocking=True)
        self._widths[at] = torch.from_numpy(chunk.widths).to(self._device, torch.float32)
        self._targets[at] = torch.from_numpy(chunk.targets).to(self._device)
        self._lengths[at] = chunk.lengths
        self._next += size
        self.count = max(self.count, self._next)

    def _grow(self, rows: int) -> None:
        def longer(old: Tensor) -> Tensor:
            new = torch.empty((rows, *old.shape[1:]), dtype=old.dtype, device=old.device)
            new[: len(old)] = old
            return new

        self._images, self._widths, self._targets = map(longer, (self._images, self._widths, self._targets))
        self._lengths = np.concatenate([self._lengths, np.zeros(rows - len(self._lengths), np.int64)])

    def batch(self, view: View, chosen: NDArray[np.int64]) -> Batch:
        rows = torch.from_numpy(chosen).to(self._device)
        return Batch(view, self._images[rows], self._widths[rows], self._targets[rows], self._lengths[chosen])
