"""Bring shipped networks, which keep their weights in 8 or 16 bits, back to trainable ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from worker.training.digits.net import DigitNet
from worker.training.digits.production import NOT_A_DIGIT_SHIFT
from worker.training.fields.net import FieldsNet
from worker.training.general.net import GeneralNet
from worker.values import NOT_A_DIGIT

Filters = Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Weight and bias of each layer, in the order in which they work."""


def restore_networks(graph: Path, count: int = 2) -> list[FieldsNet]:
    """Return the networks of the line reader's graph, their batch normalizations folded and not yet filled.

    Raises ValueError where the graph is not that of ``count`` networks.
    """
    nets = [FieldsNet() for _ in range(count)]
    for k, net in enumerate(nets):
        _fill(net, _read_filters(graph, f"/nets.{k}/"))
    return nets


def restore_digit_net(graph: Path, temperature: float) -> DigitNet:
    """Return the digit model's network without its calibration; its normalizations are not yet filled."""
    net = DigitNet()
    *filters, (weight, bias) = _read_filters(graph, "")
    bias = bias * np.float32(temperature)
    bias[NOT_A_DIGIT] -= NOT_A_DIGIT_SHIFT
    _fill(net, [*filters, (weight * np.float32(temperature), bias)])
    return net


@torch.no_grad()
def restore_general(graph: Path) -> GeneralNet:
    """Return the general reader's network; its linear layers' weights have no names in the graph, but an order.

    Raises ValueError where the graph is not that of a general reader.
    """
    values = {
        each.name.removesuffix("_16").removeprefix("net."): numpy_helper.to_array(each).astype(np.float32)
        for each in onnx.load(graph).graph.initializer
    }
    for weight in [name.removesuffix("_8") for name in values if name.endswith(".weight_8")]:
        whole, scales, factors = (values[f"{weight}_{part}"] for part in ("8", "scales", "factors"))
        values[weight] = (whole * scales * factors[:, None]).T[:, :, None, None]
    nameless = [values[name].T for name in sorted(values) if name.startswith("onnx::MatMul_")]
    net = GeneralNet()
    linear = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    if len(linear) != len(nameless):
        raise ValueError(f"the graph has {len(nameless)} linear layers, the network has {len(linear)}")
    values |= {f"{name}.weight": weight for name, weight in zip(linear, nameless, strict=True)}
    net.load_state_dict({name: torch.from_numpy(values[name].copy()) for name in net.state_dict()})
    return net


def _read_filters(graph: Path, name: str) -> Filters:
    """Return the layers' weights and biases of the nodes whose names contain ``name``."""
    model = onnx.load(graph)
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and all(name in values for name in node.input):
            values[node.output[0]] = _dequantize(*(values[name] for name in node.input))
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm") and name in node.name]
    return [(values[layer.input[1]], values[layer.input[2]]) for layer in layers]


def _dequantize(whole: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]) -> NDArray[np.float32]:
    shape = (-1, *(1,) * (whole.ndim - 1)) if scale.ndim else ()
    steps = whole.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    return np.asarray(steps * scale.reshape(shape), np.float32)


@torch.no_grad()
def _fill(net: nn.Module, filters: Filters) -> None:
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if len(layers) != len(filters):
        raise ValueError(f"the graph has {len(filters)} layers with weights, the network has {len(layers)}")
    for layer, (weight, bias) in zip(layers, filters, strict=True):
        if tuple(layer.weight.shape) != weight.shape:
            raise ValueError(f"a layer of shape {tuple(layer.weight.shape)} does not take weights {weight.shape}")
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm, (_, bias) in zip(norms, filters, strict=False):
        norm.weight.fill_(1.0)
        norm.bias.copy_(torch.from_numpy(bias.copy()))
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]


@torch.no_grad()
def fill_normalizations(net: nn.Module, seen: Tensor) -> None:
    """Give every batch normalization the mean and variance of what it sees, and keep what it gives.

    ``seen`` is a batch as the network learns on. Without this the first step of a training, which
    normalizes by the batch, would be one of another network.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        given = inputs[0].float()
        mean, variance = given.mean(dim=(0, 2, 3)), given.var(dim=(0, 2, 3))
        norm.bias.add_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]

    hooks = [m.register_forward_pre_hook(measure) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    net.eval()(seen)
    for hook in hooks:
        hook.remove()
