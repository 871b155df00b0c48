"""Bring the shipped 8-bit networks of the line reader back to trainable ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from worker.training.fields.net import FieldsNet


def restore_networks(graph: Path, count: int = 2) -> list[FieldsNet]:
    """Return the networks of the line reader's graph, their batch normalizations folded and not yet filled.

    The convolutions come in the order in which the network's layers are written, one network after the other.
    Raises ValueError where the graph is not that of ``count`` networks.
    """
    model = onnx.load(graph)
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    scaled = {
        node.output[0]: _dequantize(*(values[name] for name in node.input))
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and all(name in values for name in node.input)
    }
    known = values | scaled
    filters = [[known[name] for name in node.input[1:3]] for node in model.graph.node if node.op_type == "Conv"]
    nets = [FieldsNet() for _ in range(count)]
    layers = [[layer for layer in net.modules() if isinstance(layer, nn.Conv2d)] for net in nets]
    if len(filters) != sum(map(len, layers)):
        raise ValueError(f"{graph} has {len(filters)} convolutions, {count} networks have {sum(map(len, layers))}")
    ordered = _by_network(model, count)
    for net, own, order in zip(nets, layers, ordered, strict=True):
        _fill(net, own, [filters[i] for i in order])
    return nets


def _by_network(model: onnx.ModelProto, count: int) -> list[list[int]]:
    """Return for each network the places of its convolutions, told by the names of the graph's nodes."""
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return [[i for i, name in enumerate(names) if f"/nets.{k}/" in name] for k in range(count)]


def _dequantize(values: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    shape = (-1, *(1,) * (values.ndim - 1)) if scale.ndim else ()
    whole = values.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    return np.asarray(whole * scale.reshape(shape), np.float32)


@torch.no_grad()
def _fill(net: FieldsNet, layers: list[nn.Conv2d], filters: list[list[np.ndarray]]) -> None:  # type: ignore[type-arg]
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer, (weight, bias) in zip(layers, filters, strict=True):
        if tuple(layer.weight.shape) != weight.shape:
            raise ValueError(f"a layer of shape {tuple(layer.weight.shape)} does not take weights {weight.shape}")
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    for norm, (_, bias) in zip(norms, filters, strict=False):
        norm.weight.fill_(1.0)
        norm.bias.copy_(torch.from_numpy(bias.copy()))
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1.0 - norm.eps)  # type: ignore[union-attr]


@torch.no_grad()
def fill_normalizations(net: FieldsNet, lines: Tensor) -> None:
    """Give every batch normalization the mean and variance of what it sees, and keep what it gives.

    ``lines`` is (N, 1, 40, W) float32 as the network learns on. Without this the first step of a training, which
    normalizes by the batch, would be one of another network.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        seen = inputs[0].float()
        mean, variance = seen.mean(dim=(0, 2, 3)), seen.var(dim=(0, 2, 3))
        norm.bias.add_(mean)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]

    hooks = [m.register_forward_pre_hook(measure) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    net.eval()(lines)
    for hook in hooks:
        hook.remove()
