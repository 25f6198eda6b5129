"""A real MLServer as the cloud, in an environment and a process of its own, behind a network that misbehaves.

KDLAB_MLSERVER names the `mlserver` command; `make mlserver` makes an environment that has it.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty import Faulty, serving

from kdcore.engine.teacher import Spent, Teacher
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Finished
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Wall, Watch
from kdcore.teachers import http
from kdcore.teachers.http import HttpTeacher

COMMAND = os.environ.get("KDLAB_MLSERVER", "")
pytestmark = [
    pytest.mark.mlserver,
    pytest.mark.skipif(not Path(COMMAND).is_file(), reason="no MLServer: `make mlserver`, then set KDLAB_MLSERVER"),
]
SHAPE, CLASSES = (1, 8, 8), 10
MATRIX = np.random.default_rng(0).normal(size=(64, CLASSES)).astype(np.float32)
RUNTIME = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Linear(MLModel):
    async def load(self) -> bool:
        self.matrix = np.load("matrix.npy")
        return True

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        x = self.decode(request.inputs[0], default_codec=NumpyCodec)
        z = x.reshape(len(x), -1) @ self.matrix
        p = np.exp(z - z.max(1, keepdims=True))
        p = (p / p.sum(1, keepdims=True)).astype(np.float32)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("answers", p)])


class Chooser(Linear):  # answers as MLServer's models of scikit-learn do
    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        (told,) = (await super().predict(request)).outputs
        chosen = NumpyCodec.decode_output(told).argmax(1)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict", chosen)])
"""
SETTINGS = {
    "name": "faulty",
    "implementation": "linear.Linear",
    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, *SHAPE]}],
    "outputs": [{"name": "answers", "datatype": "FP32", "shape": [-1, CLASSES]}],
}

CHOOSER = {"name": "chooser", "implementation": "linear.Chooser"}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MLServer that is ready."""
    folder = tmp_path_factory.mktemp("mlserver")
    for settings in (SETTINGS, CHOOSER):
        (folder / settings["name"]).mkdir()
        (folder / settings["name"] / "model-settings.json").write_text(json.dumps(settings))
        (folder / settings["name"] / "linear.py").write_text(RUNTIME)
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), (free_port() for _ in range(3)), strict=True))
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    np.save(folder / "matrix.npy", MATRIX)
    url = f"http://127.0.0.1:{ports['http_port']}"
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([COMMAND, "start", "."], cwd=folder, stdout=log, stderr=log, env=plain)
    with process:
        wait(f"{url}/v2/models/faulty/ready", process, folder / "log")
        yield url
        process.terminate()
        process.wait(30)


def wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.fixture
def wire(mlserver: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """A network before MLServer that does as it is told."""
    monkeypatch.setattr(http, "sleep", lambda _: None)
    with serving(lambda x: x, SHAPE, CLASSES, upstream=mlserver) as running:
        yield running


def knobs(url: str) -> dict[str, object]:
    return {"url": url, "model": "faulty", "answers": "probabilities", "batch": 5, "timeout_s": 20.0}


def truth(x: torch.Tensor) -> np.ndarray:
    """Logarithms of what the model says, centred as a wall gives them."""
    z = x.numpy().reshape(len(x), -1) @ MATRIX
    log_p = np.log(np.clip(np.exp(z) / np.exp(z).sum(1, keepdims=True), 1e-8, None))
    return log_p - log_p.mean(1, keepdims=True)


def walled(url: str, folder: Path, wall: Wall) -> Teacher:
    line = HttpTeacher(**knobs(url)).connect(SHAPE, CLASSES)  # type: ignore[arg-type]
    return Teacher(line, "probabilities", wall=wall, folder=folder, classes=CLASSES)


def test_it_answers_behind_the_wall(mlserver: str, tmp_path: Path) -> None:
    asked, x = walled(mlserver, tmp_path, Wall()), torch.rand(12, *SHAPE)
    assert asked(x).logits.numpy() == pytest.approx(truth(x), abs=1e-4)
    assert (asked.meter.images, asked.meter.requests, asked.meter.retried) == (12, 3, 0)


def test_class_numbers_are_labels(mlserver: str, tmp_path: Path) -> None:
    line = HttpTeacher(url=mlserver, model="chooser", batch=5, timeout_s=20.0).connect(SHAPE, CLASSES, "labels")
    asked, x = Teacher(line, "labels", wall=Wall(), folder=tmp_path, classes=CLASSES), torch.rand(12, *SHAPE)
    chosen = (x.numpy().reshape(12, -1) @ MATRIX).argmax(1)
    assert (asked(x).logits.numpy() == np.eye(CLASSES)[chosen]).all()
    line = HttpTeacher(url=mlserver, model="chooser", timeout_s=20.0).connect(SHAPE, CLASSES, "probabilities")
    with pytest.raises(BadInput, match="labels alone, but its probabilities are asked for"):
        line(x)


def test_answers_delayed_dropped_cut_and_refused_cost_no_image_more(wire: Faulty, tmp_path: Path) -> None:
    asked, x = walled(wire.url, tmp_path, Wall(budget=40)), torch.rand(40, *SHAPE)
    wire.misbehave("delay", "drop", "truncate", "429", "", "drop", "500", "", "503", "noise", "garbage")
    assert asked(x).logits.numpy() == pytest.approx(truth(x), abs=1e-4)
    assert asked.meter.images == len(wire.distinct) == 40
    assert asked.meter.retried == len(wire.log) - 40 == 8 * 5
    with pytest.raises(Spent):
        asked(torch.rand(1, *SHAPE))
    assert len(wire.distinct) == 40, "exact to the image"


def test_a_late_answer_is_asked_for_again(wire: Faulty, tmp_path: Path) -> None:
    line = HttpTeacher(**knobs(wire.url) | {"timeout_s": 0.3}).connect(SHAPE, CLASSES)  # type: ignore[arg-type]
    asked = Teacher(line, "probabilities", wall=Wall(), folder=tmp_path, classes=CLASSES)
    wire.misbehave("delay")
    asked(torch.rand(2, *SHAPE))
    assert (asked.meter.images, asked.meter.retried) == (2, 2)


def test_a_run_breaks_off_and_resumes_without_a_second_question(wire: Faulty, tmp_path: Path) -> None:
    spec = Spec(
        data=Choice(name="digits", knobs={"train_fraction": 0.2}),
        source=Choice(name="data", knobs={"augment": "shift"}),
        student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name="kd", knobs={"label_weight": 0.0}),
        service=Choice(name="http", knobs=knobs(wire.url) | {"retries": 0}), access="probabilities", wall=Wall(looks=0),
        schedule=Schedule(steps=12, batch=16), watch=Watch(points=4, evaluations=1, frames=1, checkpoints=4),
    )  # fmt: skip
    broken = 0
    for _ in range(50):
        wire.misbehave(*[""] * 15, always="503")
        try:
            last = list(train(spec, tmp_path))[-1]
        except BadInput:
            broken += 1
        else:
            break
    assert broken >= 2
    assert isinstance(last, Finished)
    assert last.meter is not None
    assert len(wire.answered) == len(wire.distinct) == last.meter.images


def test_a_model_that_is_not_there(mlserver: str) -> None:
    with pytest.raises(BadInput, match="status 404"):
        HttpTeacher(url=mlserver, model="absent").connect(SHAPE, CLASSES)


def test_images_of_another_shape(mlserver: str) -> None:
    with pytest.raises(BadInput, match="reads inputs of 1x8x8, but the data are 3x32x32"):
        HttpTeacher(url=mlserver, model="faulty").connect((3, 32, 32), CLASSES)
