"""Rows as servers' models read and answer them: flat, as maps of one pixel, and as unannounced probabilities."""

import json

import numpy as np
import pytest
import torch
from faulty import Faulty, serving
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.errors import BadInput
from kdcore.remote.protocol import unpack
from kdcore.teachers.http import HttpTeacher

SHAPE, CLASSES = (1, 4, 4), 3
MATRIX = np.random.default_rng(0).normal(size=(16, CLASSES)).astype("<f4")
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))
TRUTH = IMAGES.numpy().reshape(5, -1) @ MATRIX


def logits(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) @ MATRIX


def told(server: Faulty, access: Access = "logits", **knobs: object) -> Tensor:
    """What the line to a server says to IMAGES."""
    asked = HttpTeacher(url=server.url, model="faulty", **knobs)  # type: ignore[arg-type]
    return asked.connect(SHAPE, CLASSES, access)(IMAGES).logits


def test_grey_images_are_sent_as_the_flat_rows_that_a_model_reads() -> None:
    with serving(lambda x: x @ MATRIX, (16,), CLASSES) as server:
        assert told(server).numpy() == pytest.approx(TRUTH, abs=1e-6)


def test_answers_of_a_convolution_are_rows() -> None:
    with serving(lambda x: logits(x)[..., None, None], SHAPE, CLASSES) as server:
        server.metadata["outputs"][0]["shape"] = [-1, CLASSES, 1, 1]
        assert told(server).numpy() == pytest.approx(TRUTH, abs=1e-6)


def test_rows_that_sum_to_one_are_asked_about() -> None:
    with serving(lambda x: np.eye(CLASSES, dtype="<f4")[logits(x).argmax(1)], SHAPE, CLASSES) as one_hot:
        with pytest.raises(BadInput, match=r"look like probabilities, .* set 'Answers' .* to 'probabilities'"):
            told(one_hot)
        assert (told(one_hot, answers="raw").argmax(1).numpy() == TRUTH.argmax(1)).all()
        assert (told(one_hot, answers="probabilities").argmax(1).numpy() == TRUTH.argmax(1)).all()
        assert (told(one_hot, "labels").argmax(1).numpy() == TRUTH.argmax(1)).all()


def test_a_double_beyond_single_precision_is_infinite_without_a_warning() -> None:
    reader = HttpTeacher(model="faulty")
    assert reader.read(np.array([[1e300, 1.0, 0.0]]), CLASSES, "logits").logits.tolist() == [[np.inf, 1.0, 0.0]]


@pytest.mark.parametrize(("datatype", "value"), [("FP32", 1e300), ("FP16", 1e6)])
def test_a_number_beyond_its_type_is_infinite_without_a_warning(datatype: str, value: float) -> None:
    message = json.dumps({"outputs": [{"name": "a", "shape": [1, 2], "datatype": datatype, "data": [value, 1.0]}]})
    assert unpack("outputs", message.encode(), None).tensors["a"].tolist() == [[np.inf, 1.0]]
