"""The general reader's pointwise convolutions in 8 bits, the rest as it is: a third less of its time.

Each becomes a product of whole numbers over (N, H, W, C): steps of one scale for what comes in, of one a column for the
weights; what it gives is in 32 bits, so that nothing is rounded twice. Two things keep what it gives near: channels
of a wide range hand it to the weights (Xiao et al. 2023, arXiv:2211.10438), and the weights are rounded one channel
after the other, each making good the errors of those before it (Frantar et al. 2023, arXiv:2210.17323).
Measured in docs/lab-notebook/performance.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from worker.training.general.pens import load_pen_bank
from worker.training.general.samples import draw_general_line, stack_cuts

Floats = NDArray[np.float32]

POINTWISE = re.compile(r"/backbone\.\d+/(widen|narrow)/Conv$")
LINES, ROWS = 450, 24
"""Drawn lines, and rows of each, by which channels are measured and weights rounded."""
EXPONENTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
"""How much of a channel's range its weights take over; the one with the least error is taken for each layer."""
DAMPING = 0.05
STEPS, MOST_WEIGHT = 255, 127


class Seen(NamedTuple):
    """What comes into a layer: each channel's least and greatest value, and rows (n, C), half of them strong ones."""

    low: Floats
    high: Floats
    rows: Floats

    def divided(self, factors: Floats) -> Seen:
        """Return the same with every channel divided by its factor."""
        return Seen(self.low / factors, self.high / factors, self.rows / factors)

    def steps(self) -> tuple[np.float32, np.uint8]:
        """Return the scale and the zero of whole numbers from 0 to 255 that reach over all channels."""
        low, high = min(0.0, float(self.low.min())), max(0.0, float(self.high.max()))
        scale = np.float32((high - low) / STEPS)
        return scale, np.uint8(np.clip(round(-low / scale), 0, STEPS))

    def rounded(self) -> Floats:
        """Return the rows as such whole numbers hold them."""
        scale, zero = self.steps()
        return np.asarray((np.clip(np.round(self.rows / scale) + float(zero), 0, STEPS) - float(zero)) * scale)


def draw_lines(data_dir: Path, seed: int, count: int = LINES) -> list[NDArray[np.uint8]]:
    """Draw lines (48, W) as the reader learns on, in the hands of pens that train."""
    pens, rng = load_pen_bank(data_dir, held_out=False), np.random.default_rng([seed, 8])
    found: list[NDArray[np.uint8]] = []
    while len(found) < count:
        sample = draw_general_line(rng, pens, pens)
        if sample is not None:
            found.append(stack_cuts([sample])[0])
    return found


def round_to_8_bits(content: bytes, lines: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the graph of ``export_onnx`` with its pointwise convolutions in 8 bits; ``lines`` show what comes in."""
    model = onnx.load_from_string(content)
    graph = model.graph
    layers = [node for node in graph.node if node.op_type == "Conv" and POINTWISE.search(node.name)]
    seen = _look(model, layers, lines)
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.name in seen:
            made, values = _make_product(node, weights, seen[node.name])
            nodes += made
            graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in values.items())
        else:
            nodes.append(node)
    for part, kept in (
        (graph.node, nodes),
        (graph.initializer, [each for each in graph.initializer if any(each.name in node.input for node in nodes)]),
    ):
        del part[:]
        part.extend(kept)
    del graph.value_info[:]
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return bytes(model.SerializeToString())


def _look(model: onnx.ModelProto, layers: Sequence[NodeProto], lines: Sequence[NDArray[np.uint8]]) -> dict[str, Seen]:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    inputs = [layer.input[0] for layer in layers]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    found: dict[str, list[Seen]] = {layer.name: [] for layer in layers}
    for line in lines:
        for layer, values in zip(layers, session.run(inputs, {"lines": line[None]}), strict=True):
            rows = np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])
            strength = (rows**2).sum(axis=1).cumsum()
            strong = strength.searchsorted(rng.random(ROWS // 2) * strength[-1]).clip(0, len(rows) - 1)
            picked = rows[np.concatenate([rng.integers(0, len(rows), ROWS // 2), strong])]
            found[layer.name].append(Seen(rows.min(axis=0), rows.max(axis=0), picked))
    return {
        name: Seen(
            np.min([s.low for s in own], 0), np.max([s.high for s in own], 0), np.concatenate([s.rows for s in own])
        )
        for name, own in found.items()
    }


def _make_product(
    layer: NodeProto, weights: Mapping[str, Floats], seen: Seen
) -> tuple[list[NodeProto], dict[str, NDArray[Any]]]:
    """Return the nodes of a pointwise convolution in 8 bits, and the arrays that they keep."""
    source, weight, bias = layer.input
    matrix = weights[weight][:, :, 0, 0].T
    factors = _find_factors(matrix, seen)
    seen, matrix = seen.divided(factors), matrix * factors[:, None]
    whole, scales = round_weights(matrix, seen.rounded())
    scale, zero = seen.steps()
    values: dict[str, NDArray[Any]] = {
        f"{weight}_8": whole,
        f"{weight}_scales": scales,
        f"{weight}_zeros": np.zeros(len(scales), np.int8),
        f"{weight}_factors": 1 / factors,
        f"{weight}_step": np.array(scale),
        f"{weight}_zero": np.array(zero),
    }
    is_first = "/widen/" in layer.name  # what is between both has no layout
    here, rows = layer.name, f"{layer.name}_rows"
    nodes = [
        helper.make_node("Mul", [rows if is_first else source, f"{weight}_factors"], [f"{here}_even"]),
        helper.make_node("QuantizeLinear", [f"{here}_even", f"{weight}_step", f"{weight}_zero"], [f"{here}_whole"]),
        helper.make_node(
            "MatMulIntegerToFloat",
            [f"{here}_whole", *(f"{weight}_{part}" for part in ("8", "step", "scales", "zero", "zeros")), bias],
            [layer.output[0] if is_first else rows],
            domain="com.microsoft",
        ),
    ]
    if is_first:
        nodes.insert(0, helper.make_node("Transpose", [source], [rows], perm=[0, 2, 3, 1]))
    else:
        nodes.append(helper.make_node("Transpose", [rows], [layer.output[0]], perm=[0, 3, 1, 2]))
    return nodes, values


def _find_factors(matrix: Floats, seen: Seen) -> Floats:
    """Return by what each channel is divided, and its weights multiplied, for the least error of both roundings."""
    expected = seen.rows @ matrix
    reach = np.maximum(np.maximum(-seen.low, seen.high), 1e-6)
    heaviest = np.maximum(np.abs(matrix).max(axis=1), 1e-6)
    best, least = np.ones_like(reach), np.inf
    for exponent in EXPONENTS:
        factors = reach**exponent / heaviest ** (1 - exponent) if exponent else np.ones_like(reach)
        factors = np.asarray(factors / np.exp(np.log(factors).mean()), np.float32)
        even, heavy = seen.divided(factors), matrix * factors[:, None]
        scales = np.abs(heavy).max(axis=0) / MOST_WEIGHT
        error = ((even.rounded() @ heavy - expected) ** 2).mean()
        error += ((even.rows @ (np.round(heavy / scales) * scales) - expected) ** 2).mean()
        if error < least:
            best, least = factors, error
    return best


def round_weights(matrix: Floats, rows: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return weights (K, N) in whole numbers, and each column's scale, so that ``rows`` (n, K) give nearly the same."""
    scales = np.maximum(np.abs(matrix).max(axis=0) / MOST_WEIGHT, 1e-8)
    together = rows.T.astype(np.float64) @ rows
    together += DAMPING * np.trace(together) / len(together) * np.eye(len(together))
    order = np.argsort(-np.diag(together))
    passed_on = np.linalg.cholesky(np.linalg.inv(together[np.ix_(order, order)])).T
    left = matrix.astype(np.float64)[order]
    whole = np.zeros(matrix.shape, np.int8)
    for i, channel in enumerate(order):
        whole[channel] = np.clip(np.round(left[i] / scales), -MOST_WEIGHT, MOST_WEIGHT)
        error = (left[i] - whole[channel] * scales) / passed_on[i, i]
        left[i:] -= np.outer(passed_on[i, i:], error)
    return whole, scales.astype(np.float32)
