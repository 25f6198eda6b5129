"""A run written to a folder and shown elsewhere is the same run, read only."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.contracts.control import Command
from kdcore.contracts.service import Answered
from kdcore.errors import BadInput, shortened
from kdcore.events import Started
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.by_hand import CARRIED, by_hand
from kdcore.runs.ledger import BY_HAND, Ledger
from kdcore.runs.record import read_arrays, read_frame, write_arrays


@pytest.fixture
def folder(store: Store, done: Run, tmp_path: Path) -> Path:
    (done.folder / "live").mkdir()
    (done.folder / "live" / "frame.npz").write_text("passing")
    return store.export(done.id, tmp_path / "recorded")


def test_the_folder_holds_the_record_and_nothing_else(folder: Path, done: Run) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.jsonl", "frames", "run.json", "student.safetensors",
    ]  # fmt: skip
    assert json.loads((folder / "run.json").read_text())["id"] == done.id
    assert int(read_arrays(folder / "frames" / "00000005.npz")["step"]) == np.array(5)


def test_brought_elsewhere_it_is_the_same_run(folder: Path, store: Store, done: Run, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    shown = elsewhere.bring(folder)
    assert elsewhere.story(shown.id) == store.story(done.id)
    for name in ("id", "spec", "hash", "label", "state", "result", "step", "steps", "pristine", "created_at"):
        assert getattr(shown, name) == getattr(done, name), name
    assert (shown.owner, shown.folder, shown.recorded) == ("demo", folder, True)
    assert [one.at for one in elsewhere.events(shown.id)] == [one.at for one in store.events(done.id)]
    again = elsewhere.export(shown.id, tmp_path / "again")
    assert (again / "events.jsonl").read_text() == (folder / "events.jsonl").read_text()
    assert (again / "run.json").read_text() == (folder / "run.json").read_text()
    elsewhere.close()


def test_what_was_sent_by_hand_travels_as_counts(store: Store, done: Run, tmp_path: Path) -> None:
    """It was lost on the way, so what had left was understated elsewhere; the book itself stays at home."""
    classes = len(next(e for e in store.story(done.id) if isinstance(e, Started)).classes)
    answered = Answered(torch.zeros(3, classes))
    Ledger(done.folder / BY_HAND, classes).add([bytes([one] * 16) for one in range(3)], answered, True, 1, 1)
    record = store.export(done.id, tmp_path / "recorded")
    assert json.loads((record / CARRIED).read_text()) == {"images": 3, "real": 3}
    assert not list(record.rglob("*.bin"))
    elsewhere = Store(tmp_path / "elsewhere")
    shown = elsewhere.take(record, "somebody")
    assert by_hand(shown.folder, classes) == (3, 3)
    again = elsewhere.export(shown.id, tmp_path / "again")
    assert by_hand(again, classes) == (3, 3)
    (record / CARRIED).write_text('{"images": 1, "real": 2}')
    with pytest.raises(BadInput, match="by hand"):
        Store(tmp_path / "third").take(record, "somebody")


def test_brought_again_it_is_one_run_where_it_lies_now(folder: Path, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    shown = elsewhere.bring(folder)
    moved = folder.rename(tmp_path / "moved")
    assert elsewhere.bring(moved).folder == moved
    assert [run.id for run in elsewhere.runs()] == [shown.id]
    assert len(elsewhere.events(shown.id)) == len((moved / "events.jsonl").read_text().splitlines())
    assert elsewhere.finished_teacher(shown.hash).id == shown.id
    elsewhere.close()


def test_it_is_read_only(folder: Path, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    shown = elsewhere.bring(folder)
    for by in ("me", "demo"):
        with pytest.raises(BadInput):
            elsewhere.command(shown.id, Command("pause"), by)
        with pytest.raises(BadInput):
            elsewhere.resume(shown.id, by)
    elsewhere.delete(shown.id, "demo")
    assert elsewhere.purge(older_than_s=-1) == [shown.id]
    assert folder.exists()
    elsewhere.close()


def test_events_may_come_without_times(folder: Path, store: Store, done: Run, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    bare = [{name: value for name, value in line.items() if name != "at"} for line in lines]
    (folder / "events.jsonl").write_text("\n".join(map(json.dumps, bare)))
    elsewhere = Store(tmp_path / "elsewhere")
    assert elsewhere.story(elsewhere.bring(folder).id) == store.story(done.id)
    elsewhere.close()


def put(kind: str, key: str, value: object) -> Callable[[Path], object]:
    """Gives the events of a kind (or, where it is "run", the facts) another value for a key."""

    def damage(folder: Path) -> None:
        path = folder / ("run.json" if kind == "run" else "events.jsonl")
        told = [json.loads(text) for text in ([path.read_text()] if kind == "run" else path.read_text().splitlines())]
        changed = (one | {key: value} if kind in ("run", one.get("kind")) else one for one in told)
        path.write_text("".join(f"{json.dumps(one)}\n" for one in changed))

    return damage


NO_TIMES = (float("nan"), float("inf"), -1.0, 1e300, "soon", [])
NO_COUNTS = (float("nan"), float("inf"), -1, 10**30, "9" * 50, 0.5, {})
NO_TEXT = "\ud800"
NO_PLACES = (NO_TEXT, "../frames/1.npz", "frames/../../x.npz", "/etc/passwd", "a\0b")
PUT = [
    *(("finished", "at", value) for value in NO_TIMES),
    *(("run", key, value) for key in ("created_at", "finished_at") for value in NO_TIMES if value != []),
    *(("finished", "step", value) for value in NO_COUNTS),
    *(("started", "steps", value) for value in NO_COUNTS),
    ("started", "device", NO_TEXT), ("started", "classes", ["cat", NO_TEXT]), ("run", "label", NO_TEXT),
    *(("frame", "file", value) for value in NO_PLACES),
    ("finished", "result", {NO_TEXT: 1.0}), ("finished", "result", {"accuracy": []}),
    *(("finished", "result", {"test_rows": value}) for value in (float("nan"), float("inf"), -1, 0.5)),
]  # fmt: skip
DAMAGE: dict[str, Callable[[Path], object]] = {
    "no run.json": lambda folder: (folder / "run.json").unlink(),
    "run.json is cut": lambda folder: (folder / "run.json").write_text('{"id": "abc"'),
    "no spec": lambda folder: (folder / "run.json").write_text('{"id": "abc"}'),
    "an odd id": lambda folder: (folder / "run.json").write_text(
        (folder / "run.json").read_text().replace('"id": "', '"id": "../')
    ),
    "no events": lambda folder: (folder / "events.jsonl").write_text(""),
    "an event is cut": lambda folder: (folder / "events.jsonl").write_text('{"kind": "step"}\n'),
    "run.json is deep": lambda folder: (folder / "run.json").write_text("[" * 5000 + "]" * 5000),
    "an event is deep": lambda folder: (folder / "events.jsonl").write_text('{"a":' * 5000 + "1" + "}" * 5000 + "\n"),
    "an event is a number": lambda folder: (folder / "events.jsonl").write_text("7\n"),
    "an id without end": lambda folder: (folder / "run.json").write_text('{"id": ' + "9" * 5000 + "}"),
    "bytes that are no text": lambda folder: (folder / "events.jsonl").write_bytes(b"\xff\xfe\x00"),
    "it did not finish": lambda folder: (folder / "events.jsonl").write_text(
        (folder / "events.jsonl").read_text().rsplit("\n", 2)[0]
    ),
}


DAMAGE |= {f"{kind}: {key} is {shortened(value)}": put(kind, key, value) for kind, key, value in PUT}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_one_sentence_and_leaves_nothing(damage: str, folder: Path, tmp_path: Path) -> None:
    DAMAGE[damage](folder)
    elsewhere = Store(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=str(folder)) as caught:
        elsewhere.bring(folder)
    assert "\n" not in str(caught.value)
    assert elsewhere.runs() == []
    elsewhere.close()


def test_export_overwrites_nothing(store: Store, done: Run, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInput, match="exists already"):
        store.export(done.id, tmp_path / "there")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="could not be written"):
        store.export(done.id, tmp_path / "file" / "below")


def test_a_run_made_here_is_not_brought_over(store: Store, folder: Path, done: Run) -> None:
    with pytest.raises(BadInput, match="was made here"):
        store.bring(folder)
    assert store.get(done.id) == done


def test_a_frame_outside_of_its_run_is_not_read(done: Run) -> None:
    outside = done.folder.parent / "secret.npz"
    write_arrays(outside, {"step": np.array(5)})
    (done.folder / "link.npz").symlink_to(outside)
    write_arrays(done.folder / "own.npz", {"step": np.array(7)})
    for file in ("../secret.npz", str(outside), "link.npz", "frames/../../secret.npz"):
        assert read_frame(done.folder, file) == {}
    assert int(read_frame(done.folder, "own.npz")["step"]) == 7
