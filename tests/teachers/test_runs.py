"""Whole runs against a teacher in another process, and one that breaks off: no image is paid for twice."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty import Faulty, serving
from safetensors.torch import load_file
from torch import nn

from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import EVENT, Asked, Event, Finished, Meter, Started
from kdcore.jobs.store import Store
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Wall, Watch
from kdcore.teachers import http

SHAPE, CLASSES = (1, 8, 8), 10
WATCH = Watch(points=4, evaluations=1, frames=1, checkpoints=4)
DIGITS = Choice(name="digits", knobs={"train_fraction": 0.2})
CNN = Choice(name="cnn", knobs={"width": 4})
COMMON: dict[str, Any] = {"data": DIGITS, "student": CNN, "schedule": Schedule(steps=12, batch=16), "watch": WATCH}


def taught(url: str, model: str, wall: Wall, access: str = "probabilities", **knobs: Any) -> Spec:
    """Plain distillation from a server, images augmented so that each step asks about new ones."""
    service = Choice(name="http", knobs={"url": url, "model": model, "batch": 5} | knobs)
    source = Choice(name="data", knobs={"augment": "shift"})
    method = Choice(name="hard_label") if access == "labels" else Choice(name="kd", knobs={"label_weight": 0.0})
    return Spec(**COMMON, source=source, method=method, service=service, access=access, wall=wall)


def told(spec: Spec, folder: Path) -> tuple[Finished, Meter]:
    last = list(train(spec, folder))[-1]
    assert isinstance(last, Finished)
    assert last.meter is not None
    return last, last.meter


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    assert list(train(Spec(**COMMON, method=Choice(name="ce")), folder))[-1].kind == "finished"
    return folder / "student.safetensors"


@contextmanager
def served(*words: str) -> Iterator[str]:
    """`python -m kdcore.remote.server` until it is interrupted; its URL."""
    line = [sys.executable, "-m", "kdcore.remote.server", *words, "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert said, "it did not start"
        try:
            yield said[0]
        finally:
            process.terminate()
            assert process.wait(30) in (0, -15)


@pytest.mark.parametrize(("access", "answers"), [("labels", "probabilities"), ("logits", "logits")])
def test_a_run_learns_from_a_run_in_another_process(weights: Path, tmp_path: Path, access: str, answers: str) -> None:
    with served(str(weights), "--name", "teacher", "--access", access) as url:
        spec = taught(url, "teacher", Wall(budget=150), access, answers=answers)
        finished, meter = told(spec, tmp_path)
    assert finished.spent
    assert 134 < meter.images <= 150, "the budget ended it, and a batch did not fit any more"
    assert meter.bytes_up > meter.images * 64 * 4
    assert "student_accuracy" in finished.result
    assert "teacher_accuracy" not in finished.result, "nobody allowed that real images are sent for measuring"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """A teacher of which every question is logged."""
    monkeypatch.setattr(http, "sleep", lambda _: None)
    torch.manual_seed(0)
    net = nn.Linear(64, CLASSES)

    @torch.no_grad()
    def answer(x: Any) -> Any:
        return net(torch.tensor(x).flatten(1) * 5).softmax(1).numpy()

    with serving(answer, SHAPE, CLASSES) as running:
        yield running


def sent(server: Faulty) -> int:
    return len(server.log)


def test_troubles_change_nothing_but_the_bill(server: Faulty, tmp_path: Path) -> None:
    spec = taught(server.url, "faulty", Wall(looks=0), answers="probabilities")
    plain, meter = told(spec, tmp_path / "plain")
    assert sent(server) == len(server.distinct) == meter.images
    assert meter.retried == 0
    before = len(server.log)
    troubles = ["", "drop", "truncate", "", "429", "half", "500", "", "noise", "garbage", "", "503", "short"]
    server.misbehave(*troubles * 4)
    harassed, costlier = told(spec, tmp_path / "harassed")
    assert (costlier.images, costlier.local) == (meter.images, meter.local)
    assert costlier.retried > 0
    assert len(server.log) - before == costlier.images + costlier.retried
    assert harassed.result == plain.result
    assert read(tmp_path / "plain") == read(tmp_path / "harassed")


def read(folder: Path) -> list[bytes]:
    return [one.numpy().tobytes() for _, one in sorted(load_file(folder / "student.safetensors").items())]


def test_class_numbers_teach_what_one_hot_rows_do(server: Faulty, tmp_path: Path) -> None:
    soft = server.answer
    spec = taught(server.url, "faulty", Wall(looks=0), "labels", answers="probabilities")
    rows, meter = told(spec, tmp_path / "rows")
    server.metadata["outputs"] = []
    server.answer = lambda x: soft(x).argmax(1)
    numbers, cheaper = told(spec, tmp_path / "numbers")
    assert numbers.result == rows.result
    assert read(tmp_path / "numbers") == read(tmp_path / "rows")
    assert (cheaper.images, cheaper.requests) == (meter.images, meter.requests)
    assert cheaper.bytes_down < meter.bytes_down, "what really came"


def test_a_run_that_wants_more_than_class_numbers_is_refused_before_it_asks(server: Faulty, tmp_path: Path) -> None:
    server.metadata["outputs"] = [{"name": "answers", "datatype": "INT64", "shape": [-1, 1]}]
    with pytest.raises(BadInput, match="its probabilities are asked for; set the run's access to 'labels'"):
        told(taught(server.url, "faulty", Wall(looks=0)), tmp_path)
    assert not server.requests


def test_a_run_whose_network_broke_goes_on_and_asks_nothing_twice(server: Faulty, tmp_path: Path) -> None:
    spec = taught(server.url, "faulty", Wall(looks=0), answers="probabilities", retries=0)
    whole, meter = told(spec, tmp_path / "whole")
    server.log.clear()
    heard: list[Event] = []
    broken = 0
    for _ in range(50):
        server.misbehave(*[""] * 7, always="503")  # seven requests are answered, the next is not
        try:
            heard = list(train(spec, tmp_path / "broken"))
        except BadInput:
            broken += 1
        else:
            break
    assert broken >= 3
    finished = heard[-1]
    assert isinstance(finished, Finished)
    assert finished.meter is not None
    assert len(server.answered) == len(server.distinct) == meter.images == finished.meter.images
    assert finished.result == whole.result
    assert read(tmp_path / "whole") == read(tmp_path / "broken")


def kdlab(*words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "app.cli", *words]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_of_the_terminal_that_is_killed_goes_on_and_pays_for_no_answer_it_got_twice(
    server: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while a request is answered: only the images of that request are asked about again."""
    home = tmp_path / "home"
    home.mkdir()
    spec = taught(server.url, "faulty", Wall(looks=0), answers="probabilities")
    story = list(train(spec, tmp_path / "whole"))
    whole, requests = len(server.log), len(server.requests)
    server.log.clear()
    answer, running = server.answer, kdlab("--help")
    running.communicate()

    def deadly(x: Any) -> Any:
        if len(server.requests) == requests + round(0.7 * requests):
            running.kill()
            running.wait()
        return answer(x)

    server.answer = deadly
    monkeypatch.setenv("KDLAB_HOME", str(home))
    running = kdlab("run", "--spec", "-", "--send-local")
    running.communicate(spec.model_dump_json(), timeout=240)
    assert running.returncode == -9
    store = Store(home)
    (run,) = store.runs()
    resumed = kdlab("resume", run.id, "--json")
    told, said = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, said
    first = EVENT.validate_json(told.splitlines()[0])
    assert isinstance(first, Started)
    assert first.step > 0
    learned = [
        event for event in store.story(run.id) if not isinstance(event, Asked)
    ]  # what had left then is told, too
    lost = len(server.log) - whole  # images that were under way, in one request
    meter, alone = learned[-1].meter, story[-1].meter
    assert meter is not None
    assert alone is not None
    assert (meter.retried, meter.requests) == (lost, alone.requests + bool(lost))
    sent = {"requests": meter.requests, "retried": lost, "bytes_up": meter.bytes_up}
    assert learned[-1] == story[-1].model_copy(update={"meter": alone.model_copy(update=sent)})
    assert learned[:-1] == story[:-1]
    assert len(server.distinct) == whole
    assert whole <= len(server.log) <= whole + 5, "a request is about 5 images, and one was under way"
    store.close()
