"""Answers that somebody brings: what is taken, and one sentence for everything that is not, with nothing kept."""

import io
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_factory import random_case
from record_factory import listing

from kdcore.comparison import uploaded_logits
from kdcore.comparison.case import Case, folder_of
from kdcore.comparison.uploaded_logits import add_columns, open_file, read
from kdcore.errors import BadInput

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0]], dtype=np.float32)
GOOD: dict[str, Any] = {"student_logits": LOGITS, "teacher_logits": LOGITS[::-1].copy(), "labels": np.array([0, -1])}


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: value for name, value in (GOOD | arrays).items() if value is not None})
    return file.getvalue()


def test_an_npz_becomes_a_case_without_models(home: Path) -> None:  # noqa: ARG001
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    content = npz(classes=np.array(["cat", "dog", "owl"]), images=images, age=np.array([3, 4]))
    case = Case(folder_of(open_file(content, "pets.npz")))
    assert (case.classes, case.about.where, case.about.data) == (("cat", "dog", "owl"), "given", None)
    assert case.about.teacher
    assert case.about.teacher.title == "teacher of pets.npz"
    assert np.array_equal(case.rows.student, LOGITS)
    assert case.rows.labels.tolist() == [0, -1]
    assert case.rows.teacher_top.tolist() == [1, 0]
    assert case.columns["age"].tolist() == [3.0, 4.0]
    assert case.pictures is not None
    assert case.pictures.shape == (2, 1, 4, 4)
    assert "brightness" in case.columns
    assert open_file(content, "pets.npz") == case.id


def test_a_file_that_several_open_at_once_is_one_case(home: Path) -> None:
    contents = [npz(age=np.array([place, 4])) for place in range(5) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        opened = set(pool.map(lambda content: open_file(content, "pets.npz"), contents))
    assert len(opened) == 5
    assert {path.name for path in (home / "cases").iterdir()} == opened


@pytest.mark.usefixtures("home")
def test_a_student_alone_is_enough() -> None:
    case = Case(folder_of(open_file(npz(teacher_logits=None), "one.npz")))
    assert case.about.teacher is None
    assert case.classes == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.full((2, 5, 4, 3), 7, np.uint8), (2, 3, 5, 4)),
        (np.full((2, 3, 5, 4), 7, np.uint8), (2, 3, 5, 4)),
        (np.full((2, 5, 4), 7 / 255), (2, 1, 5, 4)),
    ],
)
def test_images_stand_in_one_form(images: np.ndarray, shape: tuple[int, ...]) -> None:
    found = read(npz(images=images))
    assert found.images is not None
    assert (found.images.shape, found.images.dtype, set(found.images.flat)) == (shape, np.uint8, {7})
    assert bool(found.notes) is (images.shape != shape or images.dtype != np.uint8)


def broken(value: float, *rows: int) -> np.ndarray:
    found = np.zeros((9, 3))
    found[list(rows), 1] = value
    return found


NINE = {"teacher_logits": np.zeros((9, 3)), "student_logits": np.zeros((9, 3)), "labels": np.zeros(9, int)}


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (
            NINE | {"student_logits": broken(np.nan, 4, 7)},
            r"'student_logits' has NaN .* 2 of 9 rows, first in row 4",
        ),
        (NINE | {"teacher_logits": broken(-np.inf, 8)}, r"'teacher_logits' has NaN or infinite values in 1 of 9"),
        (NINE | {"teacher_logits": broken(1e300, 8)}, r"'teacher_logits' has NaN or infinite values in 1 of 9"),
        ({"labels": np.array([0, 3])}, r"'labels' has 3 in row 1, but with 3 classes labels are 0 to 2"),
        ({"labels": np.array([-2, 0])}, r"'labels' has -2 in row 0"),
        ({"labels": np.array([0.5, np.nan])}, r"'labels' has 0\.5 in row 0, .* 2 of 2 rows are wrong"),
        ({"labels": np.array([0, 1, 2])}, r"'labels' must be 2 whole numbers, but is 3 int64"),
        ({"labels": np.array(["a", "b"])}, r"'labels' must be 2 whole numbers, but is 2 <U1"),
        ({"teacher_logits": np.zeros((2, 4))}, r"'teacher_logits' is 2x4, but 'student_logits' is 2x3"),
        ({"teacher_logits": np.zeros((2, 4)), "labels": np.array([0, 3])}, r"'teacher_logits' is 2x4, but"),
        ({"student_logits": np.zeros(4)}, r"'student_logits' must be rows times classes of numbers, but is 4 float64"),
        ({"student_logits": np.zeros((2, 1))}, r"must be rows times classes"),
        (
            {"student_logits": None, "student_logit": LOGITS},
            r"has no 'student_logits'; .* mean 'student_logit' as 'stu",
        ),
        (
            {"student_logits": None, "teacher_logits": None, "teacher": LOGITS, "student": LOGITS},
            r"has no 'student_logits'; it has: labels, student, teacher\. "
            r"Did you mean 'teacher' as 'teacher_logits' and 'student' as 'student_logits'\?",
        ),
        (
            {"student_logits": None, "student": LOGITS, "teacher_logits": LOGITS},
            r"mean 'student' as 'student_logits'\?",
        ),
        ({"teacher_logits": None, "teacher": LOGITS}, r"mean 'teacher' as 'teacher_logits'\?"),
        ({"labels": None, "label": np.array([0, 1])}, r"has no 'labels'; .* mean 'label' as 'labels'\?"),
        (
            {"teacher_logits": None, "teacher_logit": LOGITS},
            r"'teacher_logit' is 2x3 .* mean 'teacher_logit' as 'teacher_logits'\?",
        ),
        ({"classes": np.array(["a", "b"])}, r"'classes' must be 3 names"),
        ({"classes": np.array(["a", "b", "a"])}, r"'a' is there twice"),
        ({"images": np.zeros((3, 4, 4), np.uint8)}, r"'images' must be 2 images"),
        (
            {"images": np.full((2, 4, 4), 300.0)},
            r"bytes from 0 to 255 or numbers .*, but are float64 from 300",
        ),
        ({"age": np.array([1.0, np.nan])}, r"Column 'age' has NaN or infinite values, first in row 1"),
        ({"part": np.array([1.0, 2.0])}, r"A column cannot be called 'part'"),
        ({"a;b": np.array([1.0, 2.0])}, r"A column cannot be called 'a;b'"),
    ],
)
def test_what_does_not_go_together_is_one_sentence_and_nothing_is_kept(
    home: Path, arrays: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        open_file(npz(**arrays), "bad.npz")
    assert not list(home.rglob("*"))


@pytest.mark.parametrize(
    "kind", ["U3", "S3", "M8[s]", "m8[s]", "?", "c16", "V8", "f2", "u8", [("a", "f4"), ("b", "i4")]]
)
@pytest.mark.parametrize("name", ["student_logits", "teacher_logits", "labels", "classes", "images", "age"])
def test_arrays_of_any_type_are_read_or_refused_in_a_sentence(name: str, kind: Any) -> None:
    shape = {"labels": (2,), "classes": (3,), "images": (2, 4, 4), "age": (2,)}.get(name, (2, 3))
    said = ""
    try:
        read(npz(**{name: np.zeros(shape, np.dtype(kind))}))
    except BadInput as error:
        said = str(error)
    assert not said or (name in said and len(said) < 300), said


PROBABILITIES = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_probabilities_that_are_called_logits_are_asked_about(home: Path, name: str) -> None:
    said = rf"^'{name}_logits' looks like probabilities, .* name it '{name}_probabilities', or add 1 to all of it"
    with pytest.raises(BadInput, match=said):
        open_file(npz(**{f"{name}_logits": PROBABILITIES}), "soft.npz")
    assert not list(home.rglob("*"))
    kept = read(npz(**{f"{name}_logits": PROBABILITIES + 1})).rows
    assert kept[f"{name}_logits"] == pytest.approx(PROBABILITIES + 1)


@pytest.mark.parametrize("name", ["student", "teacher"])
def test_probabilities_are_read_as_their_logarithm(name: str) -> None:
    rows = read(npz(**{f"{name}_logits": None, f"{name}_probabilities": PROBABILITIES})).rows
    powers = np.exp(rows[f"{name}_logits"])
    assert powers == pytest.approx(PROBABILITIES, abs=1e-6)
    assert np.isfinite(rows[f"{name}_logits"]).all()


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"teacher_probabilities": PROBABILITIES}, "both 'teacher_logits' and 'teacher_probabilities'; leave one"),
        ({"student_logits": None, "student_probabilities": LOGITS}, "'student_probabilities' are no probabilities"),
    ],
)
def test_probabilities_that_are_none(arrays: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read(npz(**arrays))


class Bomb:
    """Something that would run code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(home: Path) -> None:
    objects = np.array([Bomb(), Bomb()], dtype=object)
    with pytest.raises(BadInput, match=r"^'age' holds Python objects, which could run code"):
        open_file(npz(age=objects), "bad.npz")
    for content in (pickle.dumps(Bomb()), b"", b"row,age\n1,2\n", npz()[:-40]):
        with pytest.raises(BadInput, match=r"^The file is no npz that can be read"):
            open_file(content, "bad.npz")
    assert not list(home.rglob("*"))


def test_something_else_in_a_zip_is_no_array() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("student_logits.npy", pickle.dumps(Bomb()))
    with pytest.raises(BadInput, match=r"^'student_logits' in the file is no numpy array"):
        read(file.getvalue())


def header(shape: object) -> bytes:
    """The head of an array of float32, which says any shape, and one value."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(4)


@pytest.mark.parametrize("shape", ["(True, True)", "(-1, -1)", "(1, 1.5)", "[1]", "(1,) * 9", "(" * 300, "(10**30, 0)"])
def test_a_head_that_says_an_odd_shape_is_one_sentence(shape: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("student_logits", "labels"):
            archive.writestr(f"{name}.npy", header(shape))
    with pytest.raises(BadInput, match=r"^[^\n]+\.$"):
        read(file.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_any_flipped_byte_is_read_or_one_sentence(method: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, zipfile.ZipFile(io.BytesIO(npz())) as plain:
        for entry in plain.infolist():
            archive.writestr(entry.filename, plain.read(entry))
    whole = file.getvalue()
    for place in range(0, len(whole), 3):
        with suppress(BadInput):
            read(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])


def test_class_names_in_bytes_are_text_or_one_sentence() -> None:
    assert read(npz(classes=np.array([b"cat", b"dog", b"owl"]))).classes == ("cat", "dog", "owl")
    with pytest.raises(BadInput, match=r"^'classes' holds bytes that are not ASCII"):
        read(npz(classes=np.array([b"cat", b"\xff", b"owl"])))


def test_ten_gigabytes_are_refused_by_the_directory_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("labels.npy", "w") as out:
        for _ in range(4):
            out.write(bytes(1 << 20))
    monkeypatch.setattr(uploaded_logits, "LIMIT_BYTES", 4 << 20)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    with zipfile.ZipFile(file) as archive:
        archive.infolist()[0].file_size = 10 << 30
        with pytest.raises(BadInput, match=r"unpacks to 10\.0 GB"):
            uploaded_logits._arrays(archive)


def test_a_directory_of_more_than_arrays_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="it lists 65 files, and at most 64 are read"):
        read(npz(**{f"column{k}": np.arange(2) for k in range(62)}))
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("it was read"))
    with pytest.raises(BadInput, match="it lists more files than are read"):
        read(listing(60_000))


def test_a_case_takes_columns_until_they_cannot_be_read_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    case = Case(folder_of(open_file(npz(age=np.array([3, 4])), "pets.npz")))
    monkeypatch.setattr(uploaded_logits, "MOST_COLUMNS", 2)
    add_columns(case, b"row,weight\n0,1\n1,2\n")
    with pytest.raises(BadInput, match="would have 3 columns, but at most 2 are kept"):
        add_columns(Case(case.folder), b"row,height\n0,1\n1,2\n")
    assert set(Case(case.folder).part("columns")) == {"age", "weight"}


def test_an_array_that_says_it_is_larger_than_it_is_takes_no_memory() -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 1000)})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("student_logits.npy", head.getvalue() + bytes(64))
    with pytest.raises(BadInput, match=r"says it is 1000000000x1000 of float32, but has another size"):
        read(file.getvalue())


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploaded_logits, "MOST_ROWS", 1)
    with pytest.raises(BadInput, match=r"is 2x3, but at most 1 rows"):
        read(npz())


# --- columns ---------------------------------------------------------------------------------------------------------


def csv_of(rows: range) -> bytes:
    return "\n".join(["row,age,score", *(f"{row},{row * 2},{row / 4}" for row in rows)]).encode()


def test_a_csv_adds_columns_in_whatever_order_its_lines_stand(tmp_path: Path) -> None:
    case = random_case(tmp_path, rows=20)
    assert add_columns(case, b"\xef\xbb\xbf" + csv_of(range(24, -1, -1)) + b"\n\n") == ["age", "score"]
    found = Case(tmp_path).columns
    assert found["age"].tolist() == [2 * row for row in range(20)]
    assert found["score"][3] == 0.75
    assert "brightness" in found


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"first line of the CSV must name 'row'"),
        (b"age,score\n1,2\n", r"must name 'row' .* reads 'age,score'"),
        (b"row\n1\n", r"must name 'row' and one to"),
        (csv_of(range(10)), r"says nothing of 10 of 20 rows, first of row 10"),
        (csv_of(range(20)) + b"\n3,1,1", r"different whole numbers"),
        (csv_of(range(20)).replace(b"3,6,", b"3,six,"), r"^Line 5 of the CSV must be 3 numbers"),
        (csv_of(range(20)).replace(b"3,6,", b"3,nan,"), r"^Line 5 of the CSV"),
        (csv_of(range(20)).replace(b"\n4,", b"\n4,1,"), r"^Line 6 of the CSV"),
        (csv_of(range(20)).replace(b"\n3,6,0.75", b"\n3"), r"^Line 5 of the CSV must be 3 numbers"),
        (csv_of(range(20)).replace(b"age", b"teacher margin"), r"cannot be called 'teacher margin'"),
        (pickle.dumps(Bomb()), r"no CSV in UTF-8"),
    ],
)
def test_other_csv_files_leave_the_case_as_it_was(tmp_path: Path, content: bytes, says: str) -> None:
    case = random_case(tmp_path, rows=20)
    before = (tmp_path / "columns.npz").read_bytes()
    with pytest.raises(BadInput, match=says):
        add_columns(case, content)
    assert (tmp_path / "columns.npz").read_bytes() == before
