"""Estimators to ONNX: every exported graph takes (N, 28, 28) uint8 and gives (N, C) float32 probabilities."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from torch import nn

from worker.digits.normalization import SIZE

OPSET = 17

KEPT_WHOLE = ("Gemm", "Softmax")
"""The last layer stays in 32 bits, because a confidence in steps of 1/255 cannot tell 0.998 from 0.9998."""


def export_sklearn(estimator: Any, *, side: int = SIZE) -> bytes:
    """Return a fitted scikit-learn classifier of (N, side * side) floats in [0, 1] as ONNX bytes."""
    model = convert_sklearn(
        estimator,
        initial_types=[("pixels", FloatTensorType([None, side * side]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=OPSET,
    )
    del model.graph.output[0]  # the label, which follows from the probabilities
    return bytes(_read_pixels(model, side).SerializeToString())


def _read_pixels(model: onnx.ModelProto, side: int) -> onnx.ModelProto:
    """Put the cast from uint8, the division by 255 and the flattening in front of a graph."""
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), "white"))
    graph.initializer.append(numpy_helper.from_array(np.array([-1, side * side]), "flat"))
    nodes = [
        helper.make_node("Cast", ["images"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["as_float", "white"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["pixels"]),
    ]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", side, side]))
    onnx.checker.check_model(model)
    return model


def export_torch(net: nn.Module) -> bytes:
    """Return a network of (N, 28, 28) uint8 images to logits as ONNX bytes that give probabilities."""
    return export_whole(nn.Sequential(net, nn.Softmax(dim=1)), output="probabilities")


def export_whole(model: nn.Module, *, side: int = SIZE, output: str) -> bytes:
    """Return a module of (N, side, side) uint8 ``images`` as ONNX bytes, its output named."""
    program = torch.onnx.export(
        model.eval().cpu(),
        (torch.zeros(2, side, side, dtype=torch.uint8),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("N")},),
        input_names=["images"],
        output_names=[output],
        opset_version=18,
        verbose=False,
    )
    assert program is not None  # only a call without dynamo returns None
    proto = program.model_proto
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        del part.metadata_props[:]  # stack traces with the paths of the machine that trained it
    return bytes(proto.SerializeToString())


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Hands the quantizer images in batches, so that it sees the range of every layer."""

    def __init__(self, images: NDArray[np.uint8], name: str, batch: int = 64) -> None:
        self._batches = ({name: images[at : at + batch]} for at in range(0, len(images), batch))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch, None at the end."""
        return next(self._batches, None)


def quantize(content: bytes, samples: NDArray[np.uint8], *, name: str = "images", keep: tuple[str, ...] = ()) -> bytes:
    """Return a network's graph with 8-bit weights and activations; samples of its input show their ranges.

    ``name`` is that input, (N, 28, 28) digits by default; nodes whose names ``keep`` has stay in 32 bits, too.
    The result has a quarter of the size and is twice as fast with AVX-512 VNNI. The cost in accuracy is in
    docs/lab-notebook/digit-model.md.
    """
    with tempfile.TemporaryDirectory() as folder:
        whole, ready, small = (Path(folder) / name for name in ("whole.onnx", "ready.onnx", "small.onnx"))
        whole.write_bytes(content)
        quant_pre_process(whole, ready, skip_symbolic_shape=True)
        nodes = onnx.load(ready).graph.node
        quantize_static(
            ready,
            small,
            _Samples(samples, name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[n.name for n in nodes if n.op_type in KEPT_WHOLE or n.name in keep],
        )
        return small.read_bytes()


def run_onnx(content: bytes, images: NDArray[np.uint8], *, batch: int = 1000) -> NDArray[np.float32]:
    """Run exported bytes on (N, H, W) uint8 images on one thread; return (N, C) float32 probabilities."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: images[at : at + batch]})[-1] for at in range(0, len(images), batch)]
    return np.concatenate(parts)
