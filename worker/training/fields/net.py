"""The line reader's network: plain convolutions over a 40-row line, one answer for every four columns."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from worker.fields.line_reader.decoding import ALPHABET

CLASSES = len(ALPHABET) + 1
"""The characters, then the CTC blank."""


class Residual(nn.Module):
    """Two convolutions beside an identity, with batch normalization (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.path = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, padding=padding, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel, padding=padding, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``relu(x + path(x))``, of the shape of ``x``."""
        return torch.relu(x + self.path(x))


def _down(inputs: int, outputs: int, kernel: int, stride: tuple[int, int]) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class FieldsNet(nn.Module):
    """(N, 1, 40, W) float32 in [0, 1], 1 = ink -> (N, W / 4, C) log-probabilities.

    No recurrence and no attention: a digit is read from about five digits' width around it, and W is free.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (16, 64, 96, 160)) -> None:
        super().__init__()
        a, b, c, d = widths
        self.features = nn.Sequential(
            _down(1, a, 5, (2, 2)),
            _down(a, b, 3, (2, 2)),
            Residual(b, (3, 3)),
            _down(b, c, 3, (2, 1)),
            Residual(c, (3, 3)),
        )
        self.collapse = nn.Sequential(
            nn.Conv2d(c, d, (5, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(d), nn.ReLU(inplace=True)
        )
        self.context = nn.Sequential(Residual(d, (1, 3)), nn.Dropout(0.1), Residual(d, (1, 3)), nn.Dropout(0.1))
        self.head = nn.Conv2d(d, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities (N, W / 4, C)."""
        logits = self.head(self.context(self.collapse(self.features(x))))
        return torch.log_softmax(logits.squeeze(2).transpose(1, 2).float(), dim=-1)


class Readers(nn.Module):
    """The networks as they ship, side by side: uint8 lines in, the log-probabilities of each out."""

    def __init__(self, nets: Sequence[FieldsNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, lines: Tensor) -> Tensor:
        """Return log-probabilities (N, networks, W / 4, C) of (N, 40, W) uint8 lines."""
        ink = lines.unsqueeze(1).float() / 255.0
        return torch.stack([net(ink) for net in self.nets], dim=1)


def head_nodes(count: int) -> tuple[str, ...]:
    """Return the names of the last layers of ``count`` networks in the exported graph."""
    return tuple(f"/nets.{i}/head/Conv" for i in range(count))


def export_onnx(nets: Sequence[FieldsNet]) -> bytes:
    """Return the networks as one ONNX: ``lines`` (N, 40, W) uint8, W a multiple of 4, batch and width free."""
    example = torch.zeros(2, 40, 64, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            Readers(nets).eval(),
            (example,),
            path,
            input_names=["lines"],
            output_names=["log_probabilities"],
            dynamic_axes={
                "lines": {0: "batch", 2: "width"},
                "log_probabilities": {0: "batch", 2: "time"},
            },
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()
