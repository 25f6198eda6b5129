"""Small ONNX files, and what they must answer."""

from collections.abc import Sequence
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


def classifier(*outputs: str, classes: Sequence[int] = (0, 1, 2), batch: Any = "batch") -> onnx.ModelProto:
    """A classifier as scikit-learn's are in ONNX, with the class numbers `classes`.

    Its outputs are some of "label" (B,), "column" (B, 1), "small" (B,) in bytes, "scores" (B, 3), "whole" (B, 3) in
    integers, "one" (1,), "maps" (a list of dictionaries) and "words" (B,).
    """
    ml, ints, floats = "ai.onnx.ml", TensorProto.INT64, TensorProto.FLOAT
    weights = matrix().T.ravel().tolist()
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node(
            "LinearClassifier", ["flat"], ["label", "scores"], domain=ml, coefficients=weights,
            intercepts=[0.0] * CLASSES, classlabels_ints=classes, post_transform="NONE",
        ),
        helper.make_node("Unsqueeze", ["label", "axis"], ["column"]),
        helper.make_node("Cast", ["label"], ["small"], to=TensorProto.UINT8),
        helper.make_node("Cast", ["label"], ["words"], to=TensorProto.STRING),
        helper.make_node("Cast", ["scores"], ["whole"], to=ints),
        helper.make_node("ReduceMax", ["label"], ["one"]),
        helper.make_node("ZipMap", ["scores"], ["maps"], domain=ml, classlabels_int64s=classes),
    ]  # fmt: skip
    told = {
        "label": (ints, [batch]), "column": (ints, [batch, 1]), "small": (TensorProto.UINT8, [batch]),
        "scores": (floats, [batch, CLASSES]), "whole": (ints, [batch, CLASSES]), "one": (ints, [1]),
        "words": (TensorProto.STRING, [batch]),
    }  # fmt: skip
    row = helper.make_map_type_proto(ints, helper.make_tensor_type_proto(floats, None))
    infos = {name: helper.make_tensor_value_info(name, *facts) for name, facts in told.items()}
    infos["maps"] = helper.make_value_info("maps", helper.make_sequence_type_proto(row))
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", floats, [batch, *SHAPE])],
        [infos[name] for name in outputs],
        [numpy_helper.from_array(np.array([1]), "axis")],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ml, 3)], ir_version=9
    )


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


ENDLESS = helper.make_node(
    "Loop", ["often", "on", "on"], ["spins"],
    body=helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Identity", ["was"], ["is"])], "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("was", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("is", TensorProto.BOOL, [])],
    ),
)  # fmt: skip
