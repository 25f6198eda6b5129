"""A record from elsewhere tells what a run of its settings tells, or it is refused in one sentence."""

import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from app.live import case_watcher
from app.reports import html_report
from app.reports.verdict import verdict
from kdcore.comparison.tasks import plane
from kdcore.errors import BadInput
from kdcore.jobs import event_checks, importing
from kdcore.jobs.exchange import load
from kdcore.jobs.store import Store
from kdcore.runs.record import read_arrays, write_arrays
from kdcore.spec.spec import Choice, Schedule, Spec, Watch

DEMO = Path(__file__).parents[1] / "assets" / "demo"
Told = list[dict[str, Any]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "lab")) as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole record of a run behind a wall."""
    return shutil.copytree(DEMO / "mekd-hard", tmp_path / "given")


def told(folder: Path) -> Told:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def retell(folder: Path, events: Told) -> None:
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


def each(kind: str, **facts: Any) -> Callable[[Told], Told]:
    return lambda events: [event | facts if event["kind"] == kind else event for event in events]


def noted(**facts: Any) -> Callable[[Told], Told]:
    """The frames with other notes; None leaves one out."""

    def change(events: Told) -> Told:
        for event in events:
            if event["kind"] == "frame":
                event["notes"] = {k: v for k, v in (event["notes"] | facts).items() if v is not None}
        return events

    return change


ROWS = {"train": 129, "val": 143, "test": 359}
OTHERS: dict[str, tuple[Callable[[Told], Told], str]] = {
    "none begins": (lambda events: events[1:], "first event is not 'started'"),
    "it begins twice": (lambda events: [events[0], *events], "begins or ends more than once"),
    "it begins later": (each("started", step=5), "first event is not 'started' at step 0"),
    "it ends twice": (lambda events: [*events, events[-1]], "begins or ends more than once"),
    "it goes back": (lambda events: [events[0], *events[-2:0:-1], events[-1]], "goes back from step 2,000"),
    "it stands still": (lambda events: [event | {"step": 0} for event in events], "ends at step 0 of 2,000"),
    "it ends early": (each("finished", step=1999), "ends at step 1,999 of 2,000|goes back"),
    "other steps": (each("started", steps=5), "tells of 5 steps"),
    "a lead beyond": (each("started", lead=2**53), "of lead"),
    "no classes": (each("started", classes=[]), "tells of 0 classes"),
    "fewer classes": (each("started", classes=["a", "b"]), "holds .*, which no run writes|no run of 2 classes"),
    "no rows": (each("started", rows={}), "how many rows 'train' has"),
    "no test rows told": (each("started", rows={"train": 1, "val": 1}), "how many rows 'test' has"),
    "none to learn from": (each("started", rows=ROWS | {"train": 0}), "no training rows"),
    "two losses": (
        lambda events: [*events[:4], events[3], *events[4:]], "a loss at step 10 that no update led to"
    ),
    "half of the copies test": (each("frame", notes={"copies_judged": 10}), "copies_judged without copies_held"),
    "copies of nothing": (noted(copies_judged=0), "a copies test of no images"),
    "none held": (noted(copies_held=0), "a copies test of no images"),
    "more copies than images": (noted(copies_matched=513), "more copies than images"),
    "twins of nothing": (noted(copies_twins=3), "copies_twins without copies_references"),
    **{
        f"{name} is {value}": (noted(**{name: value}), f"tells of {name} that is not between")
        for name in ("copies_p", "copies_held", "copies_finds", "cycle_rows", "copies_nearest")
        for value in (float("nan"), float("inf"), -1.0, 1e300)
    },
    "a cycle of 2": (noted(cycle=2.0), "tells of cycle that is not between 0 and 1"),
    "an accuracy of -5": (each("evaluated", student={"accuracy": -5, "nll": 1, "ece": 0}), "tells of accuracy"),
    "an ece of 1e308": (each("evaluated", student={"accuracy": 0.5, "nll": 1, "ece": 1e308}), "tells of ece"),
    "a teacher's nll of -1": (each("evaluated", teacher={"accuracy": 0.5, "nll": -1, "ece": 0}), "tells of nll"),
    "an agreement of nan": (each("evaluated", agreement=float("nan")), "tells of agreement"),
    "a train accuracy of inf": (each("step", train_accuracy=float("inf")), "tells of train_accuracy"),
    "many terms": (
        each("step", terms={f"t{k}": {"weight": 1, "value": 1} for k in range(51)}), "'terms' holds 51 things"
    ),
    "many notes": (each("step", notes={f"t{k}": 1 for k in range(51)}), "'notes' holds 51 things"),
    "many classes": (each("started", classes=["a"] * 10_001), "'classes' holds 10,001 things"),
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_what_no_run_tells_is_refused(other: str, folder: Path, lab: Store) -> None:
    change, sentence = OTHERS[other]
    retell(folder, change(told(folder)))
    with pytest.raises(BadInput, match=sentence) as caught:
        lab.take(folder, "me")
    assert "\n" not in str(caught.value)
    assert lab.runs() == []


@pytest.mark.parametrize("record", sorted(path.name for path in DEMO.iterdir()))
def test_the_records_that_come_with_the_lab_are_whole(record: str, lab: Store) -> None:
    assert importing.whole(DEMO / record)
    assert lab.take(DEMO / record, "me").state == "done"


def spent_at_once(events: Told) -> Told:
    """A run whose budget was used up before its first step, looked at twice."""
    seen = [event for event in events if event["kind"] in ("started", "frame", "evaluated")]
    ended = events[-1] | {"spent": True}
    return [event | {"step": 0} for event in [*seen, ended]]


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events,
        spent_at_once,
        noted(cycle=float("nan"), cycle_rows=256.0, class_entropy=float("nan"), frechet=float("inf")),
        noted(class_entropy=float("inf"), argmax_inverse=float("nan"), argmax_inverse_rows=256.0),
        noted(**dict.fromkeys((*event_checks.COPIES, *event_checks.FURTHER, *event_checks.SHARES))),
    ],
    ids=["as it was", "it stopped at step 0", "no numbers", "no entropy", "nothing measured"],
)
def test_what_a_run_may_tell_has_a_verdict(change: Callable[[Told], Told], folder: Path, lab: Store) -> None:
    retell(folder, change(told(folder)))
    run = lab.take(folder, "me")
    facts, record = html_report.facts_of(lab, run)
    assert verdict(facts)
    written = html_report.report(run, facts, record, real=True)
    assert "Verdict" in written
    assert "nan" not in written.replace("finance", "")
    assert " inf" not in written.replace(" info", "").replace(" inference", "")


def test_events_are_counted_before_they_are_read(folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    most = event_checks.most(load(folder).spec)
    lines = (folder / "events.jsonl").read_text().splitlines()
    asked = '{"kind": "asked", "step": 0, "meter": {}}'
    (folder / "events.jsonl").write_text("\n".join([lines[0], *[asked] * most, *lines[1:]]))
    read: list[str] = []
    monkeypatch.setattr("kdcore.jobs.exchange._heard", lambda _, line, __: read.append(line))
    with pytest.raises(BadInput, match=rf"more than {most:,} events, which no run of its settings does"):
        lab.take(folder, "me")
    assert read == []


def test_the_most_events_follow_from_what_is_watched() -> None:
    def most(steps: int, **watch: int) -> int:
        spec = Spec(
            student=Choice(name="mlp"), method=Choice(name="ce"), schedule=Schedule(steps=steps), watch=Watch(**watch)
        )
        return event_checks.most(spec) - event_checks.ROOM

    assert most(1) < 20
    assert most(10_000, points=200) + 2 * 1800 == most(10_000, points=2000)
    assert most(10_000, points=10_000) < 2 * most(10_000, points=5000)


def test_the_lock_is_held_for_the_rows_alone(folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    most = event_checks.most(load(folder).spec)
    lines = (folder / "events.jsonl").read_text().splitlines()
    asked = '{"kind": "asked", "step": 0, "meter": {}}'
    room = most - len(lines)
    (folder / "events.jsonl").write_text("\n".join([lines[0], *[asked] * room, *lines[1:]]))
    held: list[float] = []
    writing = Store._write

    @contextmanager
    def timed(store: Store) -> Iterator[Connection]:
        with writing(store) as connection:
            began = time.thread_time()
            yield connection
            held.append(time.thread_time() - began)

    monkeypatch.setattr(Store, "_write", timed)
    run = lab.take(folder, "me")
    assert len(lab.events(run.id, limit=None)) == most
    assert max(held) < 1.0


@pytest.mark.parametrize("name", ["probe_labels", "cells_classes", "probe_index", "own_count", "nearest_real"])
@pytest.mark.parametrize("value", [2**62, -(2**62)])
def test_a_number_that_counts_nothing_is_refused(name: str, value: int, folder: Path, lab: Store) -> None:
    arrays = read_arrays(folder / "static.npz")
    write_arrays(folder / "static.npz", arrays | {name: np.array([0, value])})
    with pytest.raises(BadInput, match=rf"static\.npz of the record holds a number in '{name}' that no run of 10 clas"):
        lab.take(folder, "me")


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("probe_labels", np.array([10])),
        ("cells_teacher", np.full((4, 4), 10, np.uint16)),
        ("train_labels", np.array([-2])),
    ],
)
def test_a_class_that_is_none_is_refused(name: str, array: np.ndarray, folder: Path, lab: Store) -> None:
    write_arrays(folder / "frames/00000099.npz", {name: array})
    with pytest.raises(BadInput, match=f"holds a number in '{name}'"):
        lab.take(folder, "me")


def test_a_record_that_takes_the_place_of_one_being_purged_keeps_its_folder(
    folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lab.take(folder, "me")
    lab.delete(run.id, "me")
    removing, go = threading.Event(), threading.Event()
    remove = shutil.rmtree

    def slow(path: Path, *args: Any, **facts: Any) -> None:
        if threading.current_thread().name == "purge":
            removing.set()
            go.wait(30)
        remove(path, *args, **facts)

    monkeypatch.setattr(shutil, "rmtree", slow)
    purge = threading.Thread(target=lab.purge, args=(-1,), name="purge")
    purge.start()
    assert removing.wait(30)
    again = lab.take(folder, "me")
    go.set()
    purge.join(30)
    assert (again.folder / "student.safetensors").exists()
    assert [path.name for path in (lab.home / importing.FOLDER).iterdir()] == [run.id]


def test_a_purge_that_fails_forgets_nothing(folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.take(folder, "me")
    lab.delete(run.id, "me")
    real = importing.move_aside

    def refused(*args: Any) -> Path:
        real(*args)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(importing, "move_aside", refused)
    with pytest.raises(BadInput, match="Permission denied"):
        lab.purge(-1)
    monkeypatch.undo()
    assert (lab.restore(run.id, "me").folder / "student.safetensors").exists()


def npy(header: str, body: bytes = b"") -> bytes:
    head = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body


def described(kind: str, shape: str, body: bytes = b"") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}", body)


MEMBERS = {
    "a pickle": b"\x80\x04N.",
    "of objects": described("|O", "(1,)", b"\x80\x04N."),
    "cut off": described("<f8", "(10,)", b"\0" * 8),
    "of no end": described("<f8", "(1000000000000,)"),
    "a negative shape": described("<f8", "(-1,)", b"\0" * 8),
    "65 axes": described("<f8", "(" + "1," * 65 + ")", b"\0" * 8),
    "an expression": npy("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,)}"),
    "complex": described("<c16", "(1,)", b"\0" * 16),
    "times": described("<M8[ns]", "(1,)", b"\0" * 8),
    "nothing wide": described("|V0", "(1000000000000,)"),
    "text": b"hello",
}


@pytest.mark.parametrize("place", ["static.npz", "frames/00000099.npz"])
@pytest.mark.parametrize("member", MEMBERS)
def test_an_array_that_cannot_be_read_is_no_whole_record(member: str, place: str, folder: Path, lab: Store) -> None:
    with zipfile.ZipFile(folder / place, "w") as archive:
        archive.writestr("own_x.npy", MEMBERS[member])
    with pytest.raises(BadInput, match=rf"{Path(place).name} of the record (is damaged|holds)") as caught:
        lab.take(folder, "me")
    assert "\n" not in str(caught.value)
    assert not importing.whole(folder)


def test_files_that_are_gone_since_they_were_listed_are_no_error(tmp_path: Path) -> None:
    for k in range(plane.KEPT + 1):
        (tmp_path / f"{plane.BEGINS}{k}.npz").symlink_to("gone")
    assert set(case_watcher._stamps(tmp_path).values()) == {0}
    plane._forget(tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == plane.KEPT
