"""Small ONNX files, and what they must answer."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE, CLASSES = (1, 4, 4), 3
Nodes = list[onnx.NodeProto]


def matrix(features: int = 16, classes: int = CLASSES) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(features, classes)).astype(np.float32)


def linear(
    shape: tuple[int, ...] = SHAPE,
    classes: int = CLASSES,
    batch: Any = "batch",
    kind: int = TensorProto.FLOAT,
    softmax: bool = False,
) -> onnx.ModelProto:
    """Images times a matrix, as logits or probabilities."""
    nodes = [
        helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["cast"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["y"]),
    ]
    return model(nodes, {"w": matrix(int(np.prod(shape)), classes)}, [batch, *shape], [batch, classes], kind)


def model(
    nodes: Nodes, held: dict[str, np.ndarray], reads: list[Any], answers: list[Any], kind: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """A model that reads x and answers y."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", kind, reads)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, answers)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def flattened(*nodes: onnx.NodeProto, **held: np.ndarray) -> bytes:
    """A model whose last node adds "extra", made by `nodes`, to the flattened image."""
    ends = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Add", ["flat", "extra"], ["y"])]
    return model([*nodes, *ends], held, ["batch", *SHAPE], ["batch", 16]).SerializeToString()


def outside(location: str) -> onnx.ModelProto:
    """The linear model with its matrix said to be in another file."""
    made = linear()
    held = made.graph.initializer[0]
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value=location)
    return made


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
