"""A finished run as a server: it says what the run's network says, and wrong input gets a sentence and status 400."""

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from starlette.testclient import TestClient

from kdcore.engine.build import build
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.remote import protocol, served_model, server
from kdcore.remote.protocol import HEAD_LENGTH, pack, unpack
from kdcore.remote.served_model import ServedModel, load
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch

WATCH = Watch(points=1, evaluations=1, frames=1, checkpoints=1)
CNN = Choice(name="cnn", knobs={"width": 4})
X = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
INFER = "/v2/models/run/infer"


def finished(folder: Path, **more: Any) -> Path:
    spec = Spec(
        **{"student": CNN, "method": Choice(name="ce"), "schedule": Schedule(steps=3, batch=16), "watch": WATCH} | more
    )
    assert list(train(spec, folder))[-1].kind == "finished"
    return folder / "student.safetensors"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def truth(weights: Path) -> np.ndarray:
    """The network's logits for X, worked out apart."""
    net = build(CNN, (1, 8, 8), 10)
    net.load_state_dict(load_file(weights))
    head = served_model._head(weights)
    mean, std = (json.loads(head[name])[0] for name in ("mean", "std"))
    return net.eval()((torch.tensor(X) - mean) / std).logits.detach().numpy()


@pytest.fixture
def client(weights: Path) -> Iterator[TestClient]:
    with TestClient(server.application(load(weights, "run", "logits"))) as running:
        yield running


def asked(client: TestClient, binary: bool, x: np.ndarray = X) -> np.ndarray:
    body, headers = pack("inputs", {"pixels": x}, {"parameters": {"binary_data_output": binary}}, binary)
    reply = client.post(INFER, content=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert (HEAD_LENGTH in reply.headers) == binary
    return unpack("outputs", reply.content, reply.headers.get(HEAD_LENGTH)).tensors["answers"]


@pytest.mark.parametrize("binary", [True, False])
def test_it_says_what_the_network_says(client: TestClient, truth: np.ndarray, binary: bool) -> None:
    assert asked(client, binary) == pytest.approx(truth, abs=1e-5)


def test_grades_of_access(weights: Path, truth: np.ndarray) -> None:
    p = np.exp(truth) / np.exp(truth).sum(1, keepdims=True)
    with TestClient(server.application(load(weights, "run", "probabilities"))) as soft:
        assert asked(soft, True) == pytest.approx(p, abs=1e-5)
    with TestClient(server.application(load(weights, "run", "labels"))) as hard:
        assert (asked(hard, True) == np.eye(10)[truth.argmax(1)]).all()


def test_what_it_tells_of_itself(client: TestClient) -> None:
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert "binary_tensor_data" in client.get("/v2").json()["extensions"]
    for path in ("/v2/models/run", "/v2/models/run/versions/1"):
        facts = client.get(path).json()
        assert facts["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
        assert facts["outputs"][0]["shape"] == [-1, 10]
        assert facts["outputs"][0]["parameters"]["classes"] == [str(digit) for digit in range(10)]
        assert client.get(f"{path}/ready").json() == {"name": "run", "ready": True}
    absent = client.get("/v2/models/other")
    assert (absent.status_code, absent.json()["error"][:12]) == (404, "There is no ")


def message(**entry: Any) -> bytes:
    return json.dumps(
        {"inputs": [{"name": "pixels", "shape": [1, 1, 8, 8], "datatype": "FP32", "data": [0.5] * 64} | entry]}
    ).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no list of inputs"),
        (b'{"inputs": []}', "reads one input, 'pixels', but got none"),
        (message(name="features"), "reads one input, 'pixels', but got features"),
        (message(shape=[1, 3, 8, 8], data=[0.5] * 192), "rows of 1x8x8, but got float32 of shape (1, 3, 8, 8)"),
        (message(shape=[0, 1, 8, 8], data=[]), "1 to 1024 rows"),
        (message(shape=[-1, 1, 8, 8]), "no shape"),
        (message(shape=[1 << 30, 1 << 30]), "has 64 data"),
        (message(shape=[1 << 40, 1 << 40]), "more than 2^63 - 1 values"),
        (message(shape="all"), "no shape"),
        (message(datatype="BYTES"), "datatype other than"),
        (message(datatype="FP64"), "but got float64"),
        (message(data=["a"] * 64), "no list of numbers"),
        (message(data=[[0.5], [0.5, 0.5]]), "no list of numbers"),
        (message(data={"a": 1}), "no list of numbers"),
        (message(data=[0.5] * 63), "64 values has 63 data"),
        (message(data=[2.0] * 64), "finite numbers from 0 to 1"),
        (message(data=[None] * 64), "finite numbers from 0 to 1"),
        (message(shape=[1] * 65, data=[0.5]), "has 65 axes, and at most 64 are read"),
        (message(shape=[0, 1 << 62, 4], data=[]), "cannot have the shape"),
        (message(shape=[0, 1 << 70], data=[]), "no shape of whole numbers from 0 to"),
        (message(shape=[10**4000]), "no shape of whole numbers from 0 to"),
        (message(shape=[(1 << 63) - 1] * 64), "more than 2^63 - 1 values"),
        (message(shape=[(1 << 63) - 1] * 1000), "has 1,000 axes"),
        (message(name="\ud800"), "reads one input, 'pixels', but got"),
        (json.dumps(json.loads(message()) | {"outputs": [{"name": "\ud800"}]}).encode(), "one output, 'answers'"),
        (message(parameters={"binary_data_size": 256}), "has 0 bytes left, not 256"),
        (message(parameters={"binary_data_size": -1}), "bytes left"),
        (message()[:-5], "not JSON"),
        (json.dumps(json.loads(message()) | {"outputs": [{"name": "features"}]}).encode(), "one output, 'answers'"),
    ],
)  # fmt: skip
def test_wrong_input_gets_a_sentence(client: TestClient, body: bytes, said: str) -> None:
    reply = client.post(INFER, content=body)
    assert reply.status_code == 400
    assert said in reply.json()["error"]
    assert len(reply.json()["error"]) < 240


def test_a_long_shape_is_refused_before_its_sizes_are_multiplied(client: TestClient) -> None:
    """Of 100,000 sizes the product takes two minutes, in which no other client is answered."""
    began = monotonic()
    reply = client.post(INFER, content=message(shape=[(1 << 63) - 1] * 30_000))
    assert (reply.status_code, "has 30,000 axes" in reply.json()["error"]) == (400, True)
    assert monotonic() - began < 3


@pytest.mark.parametrize("length", ["9999", "-1", "x", "٣", "9" * 5000, "3"])
def test_a_header_that_lies_about_the_length(client: TestClient, length: str) -> None:
    reply = client.post(INFER, content=message(), headers={HEAD_LENGTH: length.encode()})
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_bytes_that_nobody_announced(client: TestClient) -> None:
    body, headers = pack("inputs", {"pixels": X}, {}, True)
    assert "4 bytes more" in client.post(INFER, content=body + b"more", headers=headers).json()["error"]
    assert "bytes left" in client.post(INFER, content=body[:-4], headers=headers).json()["error"]


def test_a_body_too_large_is_left_unread(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIMIT_BYTES", 1000)
    for content in (b"x" * 1001, iter([b"x" * 600, b"x" * 600])):
        reply = client.post(INFER, content=content)
        assert reply.status_code == 413
        assert "send fewer images" in reply.json()["error"]


def test_json_beyond_the_limit_is_not_parsed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python objects it would take thirty times as much memory; binary tensors of that size pass."""
    as_text, _ = pack("inputs", {"pixels": X}, {}, False)
    monkeypatch.setattr(server, "LIMIT_JSON", len(as_text) - 1)
    reply = client.post(INFER, content=as_text)
    assert reply.status_code == 400
    assert f"{len(as_text):,} bytes of JSON, and at most {len(as_text) - 1:,}" in reply.json()["error"]
    assert asked(client, binary=True).shape == (5, 10)


def test_features_are_served_as_they_are(tmp_path: Path) -> None:
    mlp = {"student": Choice(name="mlp"), "data": Choice(name="moons")}
    model = load(finished(tmp_path, **mlp), "run", "logits")
    assert model.facts["inputs"][0] == {"name": "features", "datatype": "FP32", "shape": [-1, 2]}
    x = np.array([[3.0, -2.0], [0.0, 0.5]], np.float32)
    net = build(Choice(name="mlp"), (2,), 2)
    net.load_state_dict(load_file(tmp_path / "student.safetensors"))
    assert model(model.checked({"features": x})) == pytest.approx(net.eval()(torch.tensor(x)).logits.detach().numpy())


def test_weights_of_earlier_versions_need_their_spec(tmp_path: Path) -> None:
    demo = Path(__file__).parents[2] / "assets/demo/spirals"
    spec = Spec.model_validate(json.loads((demo / "run.json").read_text())["spec"])
    save_file(load_file(demo / "student.safetensors"), tmp_path / "headless")
    with pytest.raises(BadInput, match="do not say what they are of"):
        load(tmp_path / "headless", "run", "logits")
    model: ServedModel = load(tmp_path / "headless", "run", "labels", spec)
    assert model(np.zeros((3, 2), np.float32)).sum() == 3


def test_messages_go_there_and_back() -> None:
    rng = np.random.default_rng(0)
    for datatype, code in protocol.DTYPES.items():
        array = (rng.random((3, 2)) * 100).astype(code)
        for binary in (True, False):
            body, headers = pack("outputs", {"a": array, "b": array[:0]}, {"id": "7"}, binary)
            read = unpack("outputs", body, headers.get(HEAD_LENGTH))
            assert (read.tensors["a"] == array).all()
            assert read.tensors["b"].shape == (0, 2)
            assert read.said["id"] == "7"
            assert read.said["outputs"][0]["datatype"] == datatype
