"""A record from another Lab is copied into this one, whole or not at all."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from record_factory import listing
from test_exchange import DAMAGE

from kdcore.errors import BadInput
from kdcore.jobs import exchange, importing
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.record import write_arrays
from kdcore.upload_checks.on_upload import receive


@pytest.fixture
def folder(store: Store, done: Run, tmp_path: Path) -> Path:
    return store.export(done.id, tmp_path / "recorded")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "elsewhere")) as store:
        yield store


def zipped(folder: Path, below: str = "") -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, f"{below}{path.relative_to(folder).as_posix()}")
    return file


def kept(lab: Store) -> list[str]:
    return sorted(path.name for path in (lab.home / importing.FOLDER).glob("*"))


@pytest.mark.parametrize("given", ["folder", "zip", "zip with a folder"])
def test_it_is_the_same_run_and_needs_its_source_no_longer(
    given: str, folder: Path, lab: Store, store: Store, done: Run
) -> None:
    shown = lab.take(folder if given == "folder" else zipped(folder, "a b/c/" if "with" in given else ""), "b" * 32)
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    assert lab.story(shown.id) == store.story(done.id)
    for name in ("id", "spec", "hash", "label", "state", "result", "step", "steps", "pristine", "created_at"):
        assert getattr(shown, name) == getattr(done, name), name
    assert (shown.recorded, shown.folder) == (True, lab.home / "records" / done.id)
    assert {path: (shown.folder / path).read_bytes() for path in files} == files
    assert kept(lab) == [done.id]


def test_brought_twice_it_is_one_run_and_whoever_brought_it_can_put_it_away(folder: Path, lab: Store) -> None:
    shown = lab.take(folder, "me")
    assert lab.take(folder, "another") == shown
    with pytest.raises(BadInput, match="belongs to somebody else"):
        lab.delete(shown.id, "another")
    lab.delete(shown.id, "me")
    with pytest.raises(BadInput, match="was deleted here"):
        lab.take(folder, "me")
    assert lab.purge(older_than_s=-1) == [shown.id]
    assert (kept(lab), folder.exists()) == ([], True)
    assert lab.take(folder, "me").id == shown.id


def test_a_run_made_here_keeps_its_place(folder: Path, store: Store, done: Run) -> None:
    with pytest.raises(BadInput, match="was made here"):
        store.take(folder, "me")
    assert store.get(done.id) == done
    assert kept(store) == []


def test_weights_from_elsewhere_teach_nobody_and_spare_no_run(folder: Path, lab: Store) -> None:
    shown = lab.take(folder, "me")
    assert lab.finished_teacher(shown.hash) is None
    assert lab.submit(shown.spec, "me").id != shown.id


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_one_sentence_and_leaves_nothing(
    damage: str, packed: bool, folder: Path, lab: Store
) -> None:
    DAMAGE[damage](folder)
    with pytest.raises(BadInput) as caught:
        lab.take(zipped(folder) if packed else folder, "me")
    assert "\n" not in str(caught.value)
    assert str(lab.home) not in str(caught.value)
    assert (lab.runs(), kept(lab)) == ([], [])


def spoil(path: Path) -> None:
    """Change a byte in the middle of what a file holds, so that its sum is wrong and its parts are all there."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


HARM = {
    "weights cut off": lambda folder: os.truncate(folder / "student.safetensors", 20),
    "weights that are none": lambda folder: (folder / "student.safetensors").write_bytes(b"\x80\x04N."),
    "no weights": lambda folder: (folder / "student.safetensors").unlink(),
    "no frame": lambda folder: min(folder.glob("frames/*")).unlink(),
    "a frame with a wrong sum": lambda folder: spoil(min(folder.glob("frames/*"))),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_record_is_refused_for_each_of_its_files_and_mended_by_a_whole_one(
    harm: str, folder: Path, lab: Store, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "whole")
    write_arrays(min(folder.glob("frames/*")), {"step": np.arange(999)}, compress=False)  # something to spoil
    HARM[harm](folder)
    with pytest.raises(BadInput, match=r"student\.safetensors|frames/|\.npz"):
        lab.take(folder, "me")
    assert (lab.runs(), kept(lab)) == ([], [])
    shown = lab.take(tmp_path / "whole", "me")
    HARM[harm](shown.folder)
    assert lab.take(tmp_path / "whole", "another") == shown
    assert importing.whole(shown.folder)


def test_only_a_records_own_files_are_copied(folder: Path, lab: Store, tmp_path: Path) -> None:
    for name in (
        "note.html",
        "run.sh",
        ".hidden.json",
        "deep/er/x.json",
        "live/frame.npz",
        "checkpoints/a.bin",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("nothing")
    expected = {"events.jsonl", "frames", "run.json", "student.safetensors"}
    for source in (folder, zipped(folder)):
        shown = lab.take(source, "me")
        assert {path.name for path in shown.folder.iterdir()} == expected
        lab.delete(shown.id, "me")
        lab.purge(older_than_s=-1)
    assert not list(tmp_path.glob("*.json"))


def test_a_zip_writes_nowhere_else(folder: Path, lab: Store, tmp_path: Path) -> None:
    file = zipped(folder)
    with zipfile.ZipFile(file, "a") as archive:
        for name in (
            "../evil.json",
            "frames/../../../evil.json",
            "/evil.json",
            "frames/..\\evil.json",
            "frames//evil.json",
        ):
            archive.writestr(name, "{}")
    lab.take(file, "me")
    assert not list(tmp_path.rglob("evil.json"))


def test_a_link_is_not_followed(folder: Path, lab: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.npz").write_text("secret")
    (folder / "static.npz").symlink_to(tmp_path / "secret.npz")
    with pytest.raises(BadInput, match=r"'static\.npz' in the record is a link"):
        lab.take(folder, "me")
    assert kept(lab) == []


def test_what_is_too_large_or_no_record_is_one_sentence(
    folder: Path, lab: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, twice = tmp_path / "empty", io.BytesIO()
    empty.mkdir()
    (tmp_path / "text").write_text("no zip")
    with zipfile.ZipFile(twice, "w") as archive:
        for name in ("a/run.json", "b/run.json"):
            archive.writestr(name, "{}")
    for source in (empty, tmp_path / "text", io.BytesIO(b"PK\x03\x04"), twice):
        with pytest.raises(BadInput) as caught:
            lab.take(source, "me")
        assert "\n" not in str(caught.value)
    np.savez_compressed(folder / "static.npz", probe_x=np.zeros(1 << 20, np.uint8))
    monkeypatch.setattr(importing, "MOST_ARRAYS_BYTES", 1 << 20)
    with pytest.raises(BadInput, match=r"static\.npz of the record unpacks to"):
        lab.take(folder, "me")
    monkeypatch.setattr(importing, "MOST_BYTES", 1000)
    with pytest.raises(BadInput, match="but at most 2,000 files"):
        lab.take(zipped(folder), "me")
    assert (lab.runs(), kept(lab)) == ([], [])


def test_a_text_that_unpacks_to_much_is_not_read(folder: Path, lab: Store) -> None:
    (folder / "events.jsonl").write_bytes(b"\n" * ((16 << 20) + 1))
    for given in (folder, zipped(folder)):
        with pytest.raises(BadInput, match=r"events\.jsonl: it has more than 16 MB"):
            lab.take(given, "me")
    assert kept(lab) == []


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({"student_accuracy": -5.0}, "'student_accuracy': Input should be greater than or equal to 0"),
        ({"agreement": float("nan")}, "'agreement': Input should be a finite number"),
        ({f"x{k}": 0.0 for k in range(1001)}, "result: it has 1,001 numbers, and a run has 16 at most"),
        ({"of another kind": 1.0}, "'of another kind': Extra inputs are not permitted"),
        *(({"unsteady": value}, "'unsteady': Input should be") for value in (float("inf"), float("nan"), 0.5, -1.0)),
        ({"chance_nll": 1.0}, "chance_nll stands there without student_accuracy"),
        (
            {"student_accuracy": 0.1, "chance_accuracy": 0.1, "chance_nll": 2.3},
            "chance_accuracy stands there without learning_rate",
        ),
        ({"agreement": 0.5}, "agreement stands there without student_accuracy"),
        ({"test_rows": 5, "compared_rows": 6}, "6 rows of 5 were compared"),
        ({"student_nll": 1e300}, "'student_nll': Input should be less than or equal to"),
        ({"learning_rate": float("nan")}, "'learning_rate': Input should be"),
    ],
)
def test_a_result_that_cannot_be_is_refused(result: dict[str, float], sentence: str, folder: Path, lab: Store) -> None:
    *lines, last = (folder / "events.jsonl").read_text().splitlines()
    lines.append(json.dumps(json.loads(last) | {"result": result}))
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(BadInput, match=sentence) as caught:
        lab.take(folder, "me")
    assert "\n" not in str(caught.value)


def test_of_a_network_that_ran_away_is_taken_what_is_known(folder: Path, lab: Store) -> None:
    *lines, last = (folder / "events.jsonl").read_text().splitlines()
    result = {"student_accuracy": 0.1, "student_nll": float("nan"), "kl": float("inf"), "test_rows": 10.0}
    lines.append(json.dumps(json.loads(last) | {"result": result}))
    (folder / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert lab.take(folder, "me").result == {"student_accuracy": 0.1, "test_rows": 10.0}


def test_all_arrays_together_have_a_bound(folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros(1 << 20, np.uint8)
    for k in range(3):
        write_arrays(folder / "frames" / f"z{k}.npz", {"x": zeros})
    monkeypatch.setattr(importing, "MOST_BYTES", 2 << 20)
    with pytest.raises(BadInput, match="arrays of the record unpack to more than"):
        lab.take(folder, "me")
    assert kept(lab) == []


def test_a_record_whose_run_cannot_be_written_down_leaves_nothing(
    folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise BadInput("The disk is full.")

    monkeypatch.setattr(exchange, "bring", full)
    with pytest.raises(BadInput, match="The disk is full"):
        lab.take(folder, "me")
    assert (lab.runs(), kept(lab)) == ([], [])


def test_a_text_that_no_run_tells_is_refused(folder: Path, lab: Store) -> None:
    told = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    told[0]["classes"] = ["a", "b" * 1_000_000]
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in told))
    with pytest.raises(BadInput, match="a text of 1,000,000 characters, and at most 10,000 are read"):
        lab.take(folder, "me")


def test_a_pipe_is_refused_at_once_and_drafts_of_the_killed_are_removed(tmp_path: Path, lab: Store) -> None:
    left, busy = (lab.home / importing.FOLDER / f".{name}.tmp" for name in ("left", "busy"))
    for draft in (left, busy):
        draft.mkdir(parents=True)
    os.utime(left, (0, 0))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is neither a folder nor a file"):
        lab.take(tmp_path / "pipe", "me")
    with pytest.raises(BadInput):
        lab.take(tmp_path / "nothing", "me")
    assert kept(lab) == [".busy.tmp"]


def test_a_draft_that_another_import_removed_meanwhile_is_no_error(folder: Path, lab: Store) -> None:
    (lab.home / importing.FOLDER).mkdir(parents=True)
    (lab.home / importing.FOLDER / ".gone.tmp").symlink_to("nowhere")  # listed, and not there when it is looked at
    assert lab.take(folder, "me").state == "done"


@pytest.mark.parametrize("place", ["the record", "a frame of it"])
def test_a_directory_without_end_is_refused_before_it_is_parsed(
    place: str, folder: Path, lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It deflates 1000:1 within the record's zip, and each of its entries takes 50 us and 700 bytes."""
    (folder / "frames/00000099.npz").write_bytes(listing(60_000))
    source = zipped(folder) if "frame" in place else io.BytesIO(listing(60_000))
    made: list[zipfile.ZipInfo] = []
    real = zipfile.ZipInfo._decodeExtra  # type: ignore[attr-defined]
    noted = lambda entry, *rest: made.append(entry) or real(entry, *rest)  # noqa: E731
    monkeypatch.setattr(zipfile.ZipInfo, "_decodeExtra", noted)
    with pytest.raises(BadInput, match="it lists more files than are read"):
        lab.take(source, "me")
    assert len(made) < 100  # the record's own
    assert kept(lab) == []


def test_a_file_of_more_arrays_than_a_run_writes_is_refused(folder: Path, lab: Store) -> None:
    write_arrays(folder / "frames/00000099.npz", {f"own_{k}": np.arange(2) for k in range(101)})
    with pytest.raises(BadInput, match=r"00000099\.npz .*it lists 101 files, and at most 100 are read"):
        lab.take(folder, "me")


def test_weights_whose_head_is_no_head_of_weights_are_refused(folder: Path, lab: Store) -> None:
    weights = folder / "student.safetensors"
    content = weights.read_bytes()
    size_bytes = int.from_bytes(content[:8], "little")
    head = content[8 : 8 + size_bytes] + b" " * (9 << 20)
    weights.write_bytes(len(head).to_bytes(8, "little") + head + content[8 + size_bytes :])
    with pytest.raises(BadInput, match="its head has 9 MB, and at most 8 are read"):
        lab.take(folder, "me")
    with pytest.raises(BadInput, match="its head has 9 MB"):
        receive(weights)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("step", np.arange(3)),
        ("step", np.array("abc")),
        ("step", np.array(float("nan"))),
        ("withheld", np.array([["a"]])),
        ("withheld", np.zeros(1_001, dtype="U1")),
        ("student_logits", np.array(["x", "y"])),
        ("student_logits", np.zeros((2, 3, 4), np.float32)),
        ("cells_teacher", np.full((24, 24), 2**62)),  # a colour for each class up to that one took 18 GB
        ("cells_student", np.full((24, 24), 2**62, np.uint64)),
        ("made_copied", np.zeros((3, 3, 3))),
        ("made_x", np.zeros((4, 8, 8), np.uint8)),
    ],
)
def test_arrays_that_no_run_writes_are_refused(name: str, array: np.ndarray, folder: Path, lab: Store) -> None:
    write_arrays(folder / "frames/00000099.npz", {name: array})
    with pytest.raises(BadInput, match=rf"00000099\.npz of the record holds '{name}' as .*, which no run writes"):
        lab.take(folder, "me")
    assert kept(lab) == []


def test_what_is_told_of_made_images_is_told_of_each(folder: Path, lab: Store) -> None:
    made = {"made_x": np.zeros((3, 1, 8, 8), np.uint8), "made_logits": np.zeros((0, 2), np.float32)}
    write_arrays(folder / "frames/00000099.npz", made)
    with pytest.raises(BadInput, match="tells of more or fewer images than were made"):
        lab.take(folder, "me")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b"])
def test_a_name_that_nothing_has_is_a_sentence(name: str, lab: Store) -> None:
    with pytest.raises(BadInput, match=r"cannot be read \(.*\); give a folder"):
        lab.take(Path(name), "me")


def test_a_disk_that_takes_nothing_is_not_the_records_fault(folder: Path, lab: Store) -> None:
    (lab.home / importing.FOLDER).write_text("no folder")
    with pytest.raises(
        BadInput, match=rf"The record cannot be kept in {lab.home} \(.*\); free some space there, or set"
    ):
        lab.take(folder, "me")
