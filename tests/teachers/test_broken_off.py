"""Runs that break off: what they tell was sent is what the server counted, however they end."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from counting import answer, counting
from faulty import serving
from test_books import local, newest, service

from kdcore.contracts.service import Answered, RemoteLine
from kdcore.engine.teacher import Teacher
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Event, Finished, Meter
from kdcore.jobs.leases import settle
from kdcore.jobs.store import Store
from kdcore.runs.ledger import Ledger, left_behind
from kdcore.spec.spec import Spec, Wall
from kdcore.teachers import http

BATCH = 5


@pytest.mark.parametrize("troubles", [("nan",) * 3, ("-", "nan", "-", "nan")])
def test_answers_that_are_no_numbers_are_told(
    troubles: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of each request's rows; the run is resumed until the server answers well."""
    monkeypatch.setattr(http, "sleep", lambda _: None)
    with counting(8, 10, *troubles) as server:
        spec = local(server.url, budget=60)
        told: list[Event] = []
        for _ in range(troubles.count("nan")):
            with pytest.raises(BadInput, match="not a number"):
                told.extend(train(spec, tmp_path))
            meter, received = newest(told), server.received()
            assert len(received.images) == meter.images + meter.retried
            assert (received.requests, len(set(received.images)) <= 60) == (meter.requests, True)
        told += train(spec, tmp_path)
        meter, received = newest(told), server.received()
    assert isinstance(told[-1], Finished)
    assert meter.retried == troubles.count("nan")
    assert len(received.images) == meter.images + meter.retried
    assert len(set(received.images)) == meter.images <= 60


@pytest.mark.parametrize("sizes", [(None, None), (900, 300)])
def test_an_answer_without_any_number_is_told_whole(sizes: tuple[int | None, int | None], tmp_path: Path) -> None:
    """Images, requests and bytes, each time that it is asked for again."""

    def line(images: torch.Tensor) -> Answered:
        return Answered(torch.full((len(images), 3), torch.nan), 2, len(images), *sizes)

    for attempt in (1, 2, 3):
        asked = Teacher(line, "logits", wall=Wall(budget=8), folder=tmp_path, classes=3, remote=True)
        with pytest.raises(BadInput, match="query 1 is not a number"):
            asked(torch.rand(8, 1, 2, 2))
        meter = asked.outlay
        assert (meter.images, meter.requests, meter.retried) == (0, 2 * attempt, 16 * attempt)
        assert (meter.bytes_up, meter.bytes_down) == tuple(
            attempt * (each if sent is None else sent) for sent, each in zip(sizes, (8 * 16, 8 * 12), strict=True)
        )


class Fatal(RemoteLine):
    """Its process ends while a request is under way, from the given call on."""

    def __init__(self, ends_at: int) -> None:
        super().__init__()
        self.calls_left = ends_at - 1

    def __call__(self, images: torch.Tensor) -> Answered:
        images = images[:BATCH]
        self.leaving({"requests": 1, "retried": len(images), "bytes_up": 100, "bytes_down": 0})
        if not self.calls_left:
            raise KeyboardInterrupt
        self.calls_left -= 1
        return Answered(images.flatten(1)[:, :3], bytes_up=100, bytes_down=10)


@pytest.mark.parametrize("ends_at", [1, 2])
def test_a_request_under_way_is_told_once(ends_at: int, tmp_path: Path) -> None:
    x = torch.rand(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))

    def opened(ends: int) -> Teacher:
        return Teacher(Fatal(ends), "logits", wall=Wall(), folder=tmp_path, classes=3, remote=True)

    with pytest.raises(KeyboardInterrupt):
        opened(ends_at)(x)
    seen = left_behind(tmp_path)
    assert seen == left_behind(tmp_path), "who only looks settles nothing"
    for again in (opened(9), opened(9)):
        assert again.outlay == seen
        assert (seen.images, seen.retried, seen.requests) == (BATCH * (ends_at - 1), BATCH, ends_at)
        assert seen.bytes_up == 100 * ends_at
    again(x)
    assert (again.outlay.images, again.outlay.retried) == (10, BATCH)
    assert left_behind(tmp_path) == again.outlay


class Generous(RemoteLine):
    """It answers at the second try, some rows of the first call with no numbers."""

    def __init__(self, bad: int = 0) -> None:
        super().__init__()
        self.bad = bad

    def __call__(self, images: torch.Tensor) -> Answered:
        for requests in (1, 2):
            self.leaving(
                {"requests": requests, "retried": requests * len(images), "bytes_up": requests * 100, "bytes_down": 0}
            )
        logits = images.flatten(1)[:, :3].clone()
        logits[: self.bad] = torch.nan
        self.bad = 0
        return Answered(logits, 2, len(images), bytes_up=200, bytes_down=10)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file grows beyond this, as on a disk that is full: a write to one stores what still fits, and fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("fits", [4, 4.5, 7.2, 9.9])
def test_a_full_disk_takes_no_image_from_the_bill(fits: float, tmp_path: Path) -> None:
    """The first call's four rows are on the disk, of the second's six only what fits."""
    x = torch.rand(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    teacher = Teacher(Generous(), "logits", wall=Wall(), folder=tmp_path, classes=3, remote=True)
    teacher(x[:4])
    record_bytes = (tmp_path / "asked.bin").stat().st_size // 4
    with largest_file(int(fits * record_bytes)), pytest.raises(OSError, match="too large"):
        teacher(x[4:])
    seen = left_behind(tmp_path)
    assert seen == teacher.outlay
    assert (seen.images, seen.images + seen.retried) == (int(fits), 2 * len(x))
    again = Teacher(Generous(), "logits", wall=Wall(), folder=tmp_path, classes=3, remote=True)
    assert again.outlay == seen
    again(x)  # what is not at hand is sent once more, at the second try
    assert (again.outlay.images, again.outlay.retried) == (10, seen.retried + (10 - int(fits)))
    assert left_behind(tmp_path) == again.outlay


def test_a_kill_between_rows_and_loss_takes_no_image_from_the_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of ten answers are no numbers; the process ends once the other seven are written."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    teacher = Teacher(Generous(bad=3), "logits", wall=Wall(), folder=tmp_path, classes=3, remote=True)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "lose", killed)
        with pytest.raises(KeyboardInterrupt):
            teacher(torch.rand(10, 1, 2, 2))
    seen = left_behind(tmp_path)
    assert seen
    assert (seen.images, seen.retried, seen.requests, seen.bytes_up) == (7, 13, 2, 200)
    opened = Teacher(Generous(), "logits", wall=Wall(), folder=tmp_path, classes=3, remote=True)
    assert opened.outlay == seen


def test_a_loss_that_a_crash_cut_off_spoils_none_behind_it(tmp_path: Path) -> None:
    spent = {"requests": 1, "retried": 5, "bytes_up": 7, "bytes_down": 0}
    (tmp_path / "asked.lost").write_text('{"requests": 1, "ret')
    Ledger(tmp_path / "asked.bin", 3).lose(spent)
    assert Ledger(tmp_path / "asked.bin", 3).lost == spent


def killed(home: Path, words: list[str], under_way: threading.Event) -> None:
    """Run a command until a request is under way, then kill it."""
    line = [sys.executable, "-m", "app.cli", *words]
    with subprocess.Popen(line, env=os.environ | {"KDLAB_HOME": str(home)}) as process:
        assert under_way.wait(120)
        process.send_signal(signal.SIGKILL)


def test_a_killed_run_tells_all_that_the_server_received(home: Path) -> None:
    """The request under way too, as soon as somebody looks; and what was answered is not sent again."""
    held, go_on, calls = threading.Event(), threading.Event(), [0]
    truth = answer(8, 10)

    def slow(images: np.ndarray) -> Any:
        calls[0] += 1
        if calls[0] in (3, 6):
            held.set()
            go_on.wait(120)
        return truth(images)

    with serving(slow, (1, 8, 8), 10) as server:
        spec = local(server.url, budget=60)
        spec = Spec.model_validate(spec.model_copy(update={"service": service(server.url)}).model_dump(mode="json"))
        (home / "spec.json").write_text(spec.model_dump_json())
        words = ["run", "--spec", str(home / "spec.json"), "--send-local", "--json"]
        for lost in (1, 2):
            killed(home, words, held)
            held.clear()
            store = Store(home)
            settle(store)
            (run,) = store.runs()
            meter = told(store, run.id)
            assert run.state == "lost"
            assert len(server.log) == meter.images + meter.retried
            assert meter.retried == BATCH * lost
            assert len(server.distinct) <= 60
            words = ["resume", run.id, "--json"]
            store.close()
        go_on.set()


def told(store: Store, run_id: str) -> Meter:
    """What the newest event that tells of it says was sent."""
    return newest([heard.event for heard in store.events(run_id, limit=None)])
