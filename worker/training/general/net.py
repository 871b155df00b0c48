"""The general reader's network: PP-OCRv6 small (PaddleOCR, Apache-2.0) with a head for our alphabet.

Convolutions over a line of 48 rows and two attention blocks over its columns; one answer every eight columns. The
published weights come as an ONNX graph (``load_pretrained``): its batch normalizations are folded into the
convolutions before them, its three input channels, which grey fills alike, into one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from worker.fields.line_reader.decoding import ALPHABET

CLASSES = len(ALPHABET) + 1
"""The characters, then the CTC blank."""
GREY_MIDDLE = 127.5
"""What is subtracted from a grey value, and by what it is divided: the network knows greys from -1 to 1."""


class SqueezeExcite(nn.Module):
    """Weighs channels by what the whole picture holds (Hu, Shen, Sun 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (N, C, H, W) with its channels weighed."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(mean))))


class Block(nn.Module):
    """A depthwise convolution, then two pointwise ones beside an identity; ``outputs`` halves the rows instead."""

    def __init__(self, channels: int, *, excite: bool = False, outputs: int = 0) -> None:
        super().__init__()
        stride = (2, 1) if outputs else (1, 1)
        self.depthwise = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels)
        self.excite = SqueezeExcite(channels) if excite else nn.Identity()
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, outputs or channels, 1)
        self.is_residual = not outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H or H / 2, W)."""
        x = self.excite(self.depthwise(x))
        changed: Tensor = self.narrow(F.gelu(self.widen(x)))
        return x + changed if self.is_residual else changed


class Stem(nn.Module):
    """(N, 1, 48, W) -> (N, 96, 12, W / 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 48, 3, stride=2, padding=1)
        self.aside = nn.ModuleList([nn.Conv2d(48, 24, 2), nn.Conv2d(24, 48, 2)])
        self.join = nn.Conv2d(96, 48, 3, stride=2, padding=1)
        self.last = nn.Conv2d(48, 96, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the picture's first features."""
        x = F.relu(self.first(x))
        aside = x
        for convolution in self.aside:  # a 2 x 2 kernel keeps the size by one row and one column at the end
            aside = F.relu(convolution(F.pad(aside, (0, 1, 0, 1))))
        pooled = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 2, stride=1)  # never negative here, so that zeros are harmless
        return F.relu(self.last(F.relu(self.join(torch.cat([pooled, aside], dim=1)))))


class Attention(nn.Module):
    """A transformer block over columns, normalized before its parts (Vaswani et al. 2017, arXiv:1706.03762)."""

    heads = 8

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-5)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, T, width) of the same shape."""
        batch, _, width = x.shape
        parts = self.inward(self.norm(x)).reshape(batch, -1, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(2, 3)
        seen = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, -1, width)
        x = x + self.outward(seen)
        changed: Tensor = self.narrow(F.silu(self.widen(self.norm_mlp(x))))
        return x + changed


class GeneralNet(nn.Module):
    """(N, 1, 48, W) float32 greys from -1 to 1 -> (N, W / 8, C) log-probabilities, W a multiple of 8."""

    def __init__(self, classes: int = CLASSES, width: int = 120) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            Stem(),
            Block(96, excite=True),
            Block(96),
            Block(96),
            Block(96, outputs=192),
            *(Block(192, excite=i % 2 == 0) for i in range(6)),
            Block(192, outputs=384),
            Block(384, excite=True),
            Block(384),
            nn.AvgPool2d((3, 2)),
        )
        self.shortcut = nn.Conv2d(384, width, 1)
        self.narrow = nn.Conv2d(384, width, 1)
        self.along = nn.Conv2d(width, width, (1, 7), padding=(0, 3), groups=width)
        self.context = nn.Sequential(Attention(width), Attention(width), nn.LayerNorm(width, eps=1e-6))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities (N, W / 8, C)."""
        features = self.backbone(x)
        beside = F.silu(self.shortcut(features))
        narrow = F.silu(self.narrow(features))
        columns = (narrow + F.silu(self.along(narrow))).squeeze(2).transpose(1, 2)
        both = self.context(columns) + beside.squeeze(2).transpose(1, 2)
        return torch.log_softmax(self.head(both).float(), dim=-1)


def load_pretrained(graph: Path) -> GeneralNet:
    """Return the network with the published weights and the head's columns of our characters.

    The graph's operators come in the order in which the network's layers are written, so that its weights are handed
    out one after the other; a weight that does not fit its layer raises.
    """
    model = onnx.load(graph)
    values = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    arrays = (values[name] for node in model.graph.node for name in node.input if name in values)
    weights = (array for array in arrays if array.dtype == np.float32 and array.size > 1)
    (listed,) = (entry.value for entry in model.metadata_props if entry.key == "character")
    characters = listed.split("\n")
    net = GeneralNet()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            folded = layer in (net.shortcut, net.narrow, net.along)
            _fill(layer, *(_fold(weights) if folded else (next(weights), next(weights).ravel())))
        elif isinstance(layer, nn.LayerNorm):
            _fill(layer, next(weights), next(weights))
        elif isinstance(layer, nn.Linear):
            weight, bias = next(weights).T, next(weights)
            if layer is net.head:
                columns = [1 + characters.index(sign) for sign in ALPHABET] + [0]  # class 0 is its blank
                weight, bias = weight[columns], bias[columns]
            _fill(layer, weight, bias)
    return net


def _fold(weights: Iterator[NDArray[np.float32]], epsilon: float = 1e-5) -> tuple[NDArray[np.float32], ...]:
    """Return a convolution's weight and bias with the batch normalization behind it: scale, shift, mean, variance."""
    weight, scale, shift, mean, variance = (next(weights) for _ in range(5))
    factor = scale / np.sqrt(variance + epsilon)
    return weight * factor[:, None, None, None], shift - mean * factor


@torch.no_grad()
def _fill(layer: nn.Conv2d | nn.LayerNorm | nn.Linear, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    if isinstance(layer, nn.Conv2d) and layer.in_channels == 1 and weight.shape[1] == 3:
        weight = weight.sum(axis=1, keepdims=True)  # three channels of one grey
    if weight.shape != tuple(layer.weight.shape) or layer.bias is None:
        raise ValueError(f"a layer of shape {tuple(layer.weight.shape)} does not take weights of shape {weight.shape}")
    layer.weight.copy_(torch.from_numpy(weight.copy()))
    layer.bias.copy_(torch.from_numpy(bias.copy()))


class Shipped(nn.Module):
    """The network as it ships: uint8 lines in, log-probabilities out."""

    def __init__(self, net: GeneralNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, lines: Tensor) -> Tensor:
        """Return log-probabilities (N, W / 8, C) of (N, 48, W) uint8 lines, 0 = ink."""
        return self.net(lines.unsqueeze(1).float() / GREY_MIDDLE - 1)


def export_onnx(net: GeneralNet) -> bytes:
    """Return the network as ONNX: ``lines`` (N, 48, W) uint8, W a multiple of 8, batch and width free."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        torch.onnx.export(
            Shipped(net).eval(),
            (torch.zeros(2, 48, 160, dtype=torch.uint8),),
            path,
            input_names=["lines"],
            output_names=["log_probabilities"],
            dynamic_axes={"lines": {0: "batch", 2: "width"}, "log_probabilities": {0: "batch", 1: "time"}},
            opset_version=17,
            dynamo=False,
        )
        return path.read_bytes()
