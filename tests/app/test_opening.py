"""Opening files in the Inspector: models, answers without models, images and columns of one's own."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from case_factory import random_case
from hypothesis import given
from hypothesis import strategies as st
from lab_driver import ME, Finish, Open, button, labels, said, story
from onnx import TensorProto, helper
from safetensors.numpy import save

from app import run_store, state
from app.helpers import comparison
from app.links import inspector
from app.links.lab import Link
from kdcore.blackbox.orders import Order, spec
from kdcore.comparison.case import About, Case, Progress, folder_of, tell, write_about
from kdcore.comparison.question import SENDS, Party, Question
from kdcore.comparison.uploaded_logits import open_file
from kdcore.contracts.service import Answered
from kdcore.errors import BadInput
from kdcore.jobs.store import Store
from kdcore.runs.ledger import BOOKS, Ledger
from kdcore.spec.registry import TEACHERS
from kdcore.spec.spec import Choice

CASE = "case-0123456789ab"
WEIGHTS = save({"w": np.zeros(2, np.float32)})
Begun = list[tuple[Path, str]]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    """What the examiner was asked to begin; nothing is."""
    found: Begun = []

    def start(folder: Path, task: str) -> None:
        found.append((folder, task))
        tell(folder, task, Progress(state="waiting"))

    monkeypatch.setattr(comparison, "start", start)
    monkeypatch.setattr(comparison, "under_way", lambda *_: True)
    return found


def onnx_file() -> bytes:
    """A model that answers with what it reads."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 10]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", [x], [y])
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()
    return content


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_a_student_and_a_teacher_are_files(lab: Open, begun: Begun) -> None:
    page = lab("inspector", student="weights", teacher="onnx", data="digits")
    assert not page.exception
    page = button(page, "Open")
    assert "No file was uploaded for the Uploaded weights; upload it first." in said(page)
    page.file_uploader[0].upload("model.safetensors", b"\x80\x04pickled", "application/octet-stream").run()
    assert "looks like a pickle" in said(page)
    page.file_uploader[0].upload("model.safetensors", WEIGHTS, "application/octet-stream").run()
    page.file_uploader[1].upload("model.onnx", b"\x08\x09model", "application/octet-stream").run()
    assert "ONNX file has no operators" in said(page), "said at the upload"
    page.file_uploader[1].upload("model.onnx", onnx_file(), "application/octet-stream").run()
    assert page.query_params["student.file"].endswith(".safetensors")
    assert page.query_params["teacher.file"].endswith(".onnx")
    page = button(page, "Open")
    ((folder, task),) = begun
    question = Question.model_validate_json((folder / "question.json").read_text())
    assert (task, page.query_params["case"]) == ("answers", question.id)
    assert question.data.name == "digits"
    assert question.student.service
    assert question.student.service.name == "weights"
    assert question.teacher
    assert question.teacher.title.startswith("ONNX file ")


def test_every_service_with_a_file_can_be_a_party() -> None:
    uploads = {name: service.upload for name, service in TEACHERS.items() if service.upload}
    assert inspector.brought().keys() == uploads.keys() >= {"onnx", "weights"}


def test_what_a_field_could_not_take_keeps_the_models_closed(
    lab: Open, begun: Begun, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = lab("inspector", student=finish().id)
    monkeypatch.setattr(state, "unread", lambda: ["The scale is no number."])
    assert "The scale is no number." in said(button(page, "Open"))
    assert not begun


def test_a_remote_teacher_is_sent_rows_only_where_the_box_is_ticked(lab: Open, store: Store, begun: Begun) -> None:
    remote = Choice(name="http", knobs={"model": "m"})
    run = store.submit(spec(Order(service=remote, price=2.0)), ME)
    assert store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.9))
    run.weights.parent.mkdir(parents=True, exist_ok=True)
    run.weights.write_bytes(WEIGHTS)
    page = lab("inspector")
    assert "At most 5 queries; cost $0.01 ($2.00 per 1,000)." in said(page)
    page = button(page, "Open")
    page = lab("inspector")
    page.checkbox[0].check().run()
    assert page.checkbox[0].label == SENDS
    button(page, "Open")
    asked = [Question.model_validate_json((folder / "question.json").read_text()) for folder, _ in begun]
    assert [one.sends for one in asked] == [False, True]
    assert asked[0].teacher
    assert (asked[0].teacher.service, asked[0].teacher.folder) == (run.spec.service, str(run.folder))
    lab("inspector", student=run.id)
    assert len(begun) == 2, "a link asks what was asked before, and is no consent"


def test_a_budget_promises_no_more_than_is_left_of_it(lab: Open, store: Store) -> None:
    run = store.submit(
        spec(Order(preset="paper", pool=2, service=Choice(name="http", knobs={"model": "m"}), price=2.0, budget=3)), ME
    )
    assert store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.9))
    run.weights.parent.mkdir(parents=True, exist_ok=True)
    run.weights.write_bytes(WEIGHTS)
    book = run.folder / BOOKS[0]
    classes = next(one.event for one in store.events(run.id, limit=1)).classes  # type: ignore[union-attr]
    one = Answered(torch.zeros(1, len(classes)))
    Ledger(book, len(classes)).add([b"first".ljust(16)], one, False, 1, 1)
    assert "At most 2 queries; cost $0.004 ($2.00 per 1,000)." in said(lab("inspector"))
    full = Answered(torch.zeros(2, len(classes)))
    Ledger(book, len(classes)).add([b"second".ljust(16), b"third".ljust(16)], full, False, 1, 1)
    page = lab("inspector")
    assert "The run's budget of 3 images is used up, so nothing more is sent." in said(page)
    assert not page.checkbox


def test_of_another_users_run_nothing_is_sent(lab: Open, store: Store, begun: Begun) -> None:
    """Neither by the form, which says so, nor by a question that somebody makes up."""
    wish = Order(
        service=Choice(name="http", knobs={"model": "m"}), budget=900, measure="real", preset="paper", pool=600
    )
    run = store.submit(spec(wish), "f" * 32)
    assert store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.9))
    run.weights.parent.mkdir(parents=True, exist_ok=True)
    run.weights.write_bytes(WEIGHTS)
    page = lab("inspector", student=run.id)
    assert "this run belongs to another user, so nothing is sent to its teacher from here" in said(page)
    assert not page.checkbox
    page = button(page, "Open")
    asked = comparison.question(run, sends=True)
    assert asked.sends
    comparison.opened(asked)
    assert [Question.model_validate_json((folder / "question.json").read_text()).sends for folder, _ in begun] == [
        False
    ]
    asked.write()
    with pytest.raises(BadInput, match="belongs to another user"):
        comparison.again(asked.folder)


def test_a_file_needs_its_data(lab: Open, begun: Begun) -> None:
    page = lab("inspector", student="weights", **{"student.file": "0123456789abcdef.safetensors"})
    assert "choose the data set" in said(button(page, "Open"))
    assert not begun


def test_a_link_with_files_is_read_back_as_it_was_written() -> None:
    query = {
        "student": "weights",
        "student.model": "cnn",
        "teacher": "onnx",
        "teacher.scale": "signed",
        "data": "digits",
    }
    shown, complaints = inspector.read(query)
    assert not complaints
    assert inspector.write(shown) == query
    assert (
        inspector.put(shown, "student", "abc").settings.keys() == inspector.read({"teacher": "onnx"})[0].settings.keys()
    )
    _, complaints = inspector.read({"student": "abc", "student.model": "cnn"})
    assert "no setting named 'student.model'" in complaints[0]


PARTY = ("", "0123456789abcdef", "weights", "onnx", "fedcba9876543210")
CHANGES = {
    "student": PARTY,
    "teacher": PARTY,
    "data": ("", "digits", "moons"),
    "where": ("val", "test", "train"),
    "section": inspector.SECTIONS,
    "student.file": ("a.onnx", ""),
    "teacher.file": ("b.safetensors", ""),
    "teacher.model": ("cnn", ""),
    "student.scale": ("signed", "unit"),
}
Change = tuple[str, str]


def changed(shown: Link, change: Change) -> Link:
    """The link after one thing that a person can do on the page."""
    key, value = change
    if key == "open":
        return inspector.beside_its_teacher(shown, value)
    return inspector.put(shown, key, value) if key in shown.settings else shown


@given(st.lists(st.sampled_from([("open", "run"), *((key, v) for key, some in CHANGES.items() for v in some)])))
def test_after_any_changes_the_link_says_what_the_page_shows(changes: list[Change]) -> None:
    """No order of changes leaves a knob of a party that is gone: each link is read back without complaint."""
    shown = inspector.read({})[0]
    for change in changes:
        shown = changed(shown, change)
        read, complaints = inspector.read(inspector.write(shown))
        assert not complaints
        assert read.settings == shown.settings
        assert shown.settings.keys() == inspector.complete(shown.settings).keys()


def test_the_data_that_were_named_for_a_file_go_with_it() -> None:
    files = inspector.read({"student": "onnx", "teacher": "weights", "data": "digits"})[0]
    one = inspector.put(files, "student", "abc")
    assert one.settings["data"] == "digits"  # the teacher is a file yet
    assert inspector.put(one, "teacher", "")[0]["data"] == ""
    runs = inspector.read({"student": "abc", "data": "digits"})[0]
    assert inspector.put(runs, "teacher", "def").settings["data"] == "digits"  # named by the link, for these runs


def test_a_link_that_names_what_is_not_there_says_so() -> None:
    stale = {"data": "no such data", "where": "given", "section": "cellar", "teacher.file": "x.onnx"}
    shown, complaints = inspector.read({"student": "onnx", **stale})
    assert len(complaints) == len(stale)
    assert shown.settings == inspector.read({"student": "onnx"})[0].settings


@pytest.mark.parametrize("student", ["weights", "onnx"])
@pytest.mark.parametrize("teacher", ["", "weights", "onnx"])
def test_an_example_opens_whatever_the_form_held(
    lab: Open, finish: Finish, begun: Begun, student: str, teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish(owner=run_store.DEMO, data="digits")
    monkeypatch.setattr(comparison, "stamp_of", lambda _: 1)
    page = lab("inspector", student=student, teacher=teacher, data="moons", **{"student.scale": "signed"})
    page = button(page, "Open an example")
    assert not page.exception
    assert page.query_params["student"] == run.id
    assert not {"teacher", "data", "student.scale"} & page.query_params.keys()
    ((folder, _),) = begun
    assert Question.model_validate_json((folder / "question.json").read_text()).data.name == "digits"


def test_answers_open_without_a_model_and_bad_ones_leave_the_page(lab: Open) -> None:
    page = lab("inspector")
    page.file_uploader(key="answers file").upload("bad.npz", b"\x80\x04pickled", "application/zip").run()
    assert "no npz that can be read" in said(page)
    assert "case" not in page.query_params
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    good = npz(student_logits=logits, teacher_logits=-logits, labels=np.array([0, 1, 1]))
    page.file_uploader(key="answers file").upload("mine.npz", good, "application/zip").run()
    assert not page.exception
    assert Case(folder_of(page.query_params["case"])).rows.teacher is not None
    assert "**3** samples · student right" in said(page)


@pytest.mark.parametrize("section", inspector.SECTIONS)
@pytest.mark.parametrize("labelled", [True, False])
def test_every_section_opens_on_answers_alone(lab: Open, section: str, labelled: bool) -> None:
    if find_spec(f"app.inspector.section_{section}") is None:
        pytest.skip("this copy has no such section")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60) if labelled else np.full(60, -1)
    content = npz(student_logits=rng.normal(size=(60, 3)), teacher_logits=rng.normal(size=(60, 3)), labels=labels)
    page = lab("inspector", case=open_file(content, "mine.npz"), section=section)
    assert not page.exception


@pytest.fixture
def models(home: Path) -> Case:  # noqa: ARG001
    """A case with models, of images 8x8."""
    folder = folder_of(CASE)
    case = random_case(folder, rows=20)
    data = Choice(name="digits")
    write_about(folder, About.model_validate(case.about.model_dump() | {"data": data.model_dump()}))
    party = Party(title="student", run="abc", folder="/nowhere", spec="{}")
    (folder / "question.json").write_text(Question(data=data, student=party).model_dump_json())
    return Case(folder)


def test_a_csv_brings_columns_and_a_bad_one_a_sentence(lab: Open, models: Case) -> None:
    page = lab("inspector", case=CASE, section="draw")
    page.file_uploader(key="columns brought").upload("bad.csv", b"age\n1\n", "text/csv").run()
    assert "must name 'row'" in said(page)
    content = "\n".join(["row,age", *(f"{row},{row}" for row in range(20))]).encode()
    page.file_uploader(key="columns brought").upload("good.csv", content, "text/csv").run()
    assert "age" in said(page)
    assert models.columns["age"].tolist() == list(range(20))


def test_images_become_a_case_of_their_own(models: Case, begun: Begun) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(file, "PNG")
    case_id = comparison.brought(models, {"a.png": file.getvalue()})
    ((folder, _),) = begun
    question = Question.model_validate_json((folder / "question.json").read_text())
    assert (folder.name, question.where) == (case_id, "given")
    assert len(question.notes) == 2
    with pytest.raises(BadInput, match=r"^'a\.txt' is no PNG or JPEG image that can be read; give another\.$"):
        comparison.brought(models, {"a.txt": b"text"})


def test_more_steps_on_a_slice_begin_with_the_training_rows(lab: Open, models: Case, begun: Begun) -> None:
    page = lab("inspector", case=CASE, section="slices", select="true=1")
    assert "Train 200 more steps on this slice" not in labels(page)  # the student is no run
    ours = models.about.student.model_copy(update={"run": "abc"})
    write_about(models.folder, models.about.model_copy(update={"student": ours}))
    page = button(lab("inspector", case=CASE, section="slices", select="true=1"), "Train 200 more steps on this slice")
    assert not page.exception
    ((folder, _),) = begun
    assert Question.model_validate_json((folder / "question.json").read_text()).where == "train"
    assert "Train 200 more steps on this slice" not in labels(page)


def test_without_models_images_cannot_be_asked_about(lab: Open) -> None:
    random_case(folder_of(CASE), rows=20)
    page = lab("inspector", case=CASE, section="draw")
    assert not page.exception
    assert "to evaluate images" in said(page)
    assert "Ask both" not in labels(page)
