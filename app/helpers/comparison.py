"""Opens two models on the same rows, and has the examiner do what is asked of them, in processes of their own.

Two helpers: one answers at once (a sample, an image that was drawn), one does what takes long, a task after another,
while the case's folder says how far it is. Both end with this process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from app import run_store
from app.text import phrases
from app.text.consent import OTHERS
from app.text.phrases import paid
from kdcore.comparison.case import Case, Progress, Where, folder_of, progress, tell
from kdcore.comparison.question import Party, Question, asked, specs
from kdcore.comparison.uploaded_images import keep, rows_of
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.jobs.rows import Run
from kdcore.runs import private_rows
from kdcore.runs.bill import dollars
from kdcore.runs.by_hand import by_hand
from kdcore.runs.record import stamp_of
from kdcore.runs.spare import RowCounts, Spare, spare
from kdcore.spec.spec import Choice, parse
from kdcore.stdio_rpc import HelperProcess

log = logging.getLogger("kdlab.examining")
MODULE = "kdcore.comparison.worker"
LONG_S = 4 * 3600.0
FIRST = "answers"  # the task that makes a case

quick = HelperProcess(MODULE, 120.0, "This")
slow = HelperProcess(MODULE, LONG_S, "This")


@cache
def _queue() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="examiner")


def party(run: Run) -> Party:
    """A run as one side of a case."""
    title = f"{phrases.title(run.spec)} · {run.id[:4]}"
    spec = run.spec.model_dump_json()
    return Party(title=title, run=run.id, folder=str(run.folder), spec=spec, stamp=stamp_of(run.folder))


def question(
    student: Run | Choice,
    teacher: Run | Choice | None = None,
    where: Where = "val",
    data: Choice | None = None,
    sends: bool = False,
) -> Question:
    """What is asked when a student is opened beside a teacher: its own where none is named.

    The data are, unless they are named, what the student learned from, or else the teacher. `sends` says whether a
    remote teacher may be sent the rows, as one always may whose run allows it to measure on real ones.

    Raises:
        BadInput: a run has kept no weights yet, a file is missing, or nobody says on which data they are asked.
    """
    data = data or next((one.spec.data for one in (student, teacher) if isinstance(one, Run)), None)
    if data is None:
        raise BadInput("A file does not say on which data it is to be asked; choose the data set.")
    if isinstance(student, Run) and teacher is None and student.spec.remote and student.spec.wall:
        sends = sends or student.spec.wall.measure == "real"
    ours, theirs = _side(student), _taught_by(student, teacher)
    return Question(data=data, where=where, student=ours, teacher=theirs, sends=sends)


def _taught_by(student: Run | Choice, teacher: Run | Choice | None) -> Party | None:
    """The teacher that is named, or the student's own: of a service it is known what the run has asked it."""
    if teacher is None and isinstance(student, Run):
        if student.spec.service:
            beside = {"folder": str(student.folder), "spec": student.spec.model_dump_json()}
            return _side(student.spec.service).model_copy(update=beside)
        teacher = _own_teacher(student)
    return None if teacher is None else _side(teacher)


def _side(one: Run | Choice) -> Party:
    if isinstance(one, Choice):
        if one.knobs.get("file") == "":
            raise BadInput(f"No file was uploaded for the {phrases.named('teacher', one)}; upload it first.")
        told = str(one.knobs.get("model") or one.knobs.get("file", ""))[:12]
        return Party(title=" ".join(filter(None, [phrases.named("teacher", one), told])), service=one)
    if not stamp_of(one.folder):
        raise BadInput(f"Run {one.id} has kept no weights yet; open it after its first checkpoint.")
    return party(one)


def owned(theirs: Party | None) -> bool:
    """Whether who looks owns the run whose remote teacher a case asks, and so may have it sent something."""
    from app import state  # here: a terminal, which has no visitor, loads no pages

    run = run_store.known(Path(theirs.folder).name) if theirs and theirs.service and theirs.folder else None
    return run is not None and state.owns(run)


def _sends(folder: Path) -> bool:
    with suppress(BadInput):  # nothing but answers was given
        return owned(asked(folder).teacher)
    return False


def spare_of(run: Run) -> Spare | None:
    """What a run's budget leaves for queries by hand; None where nothing limits them, or it has not begun."""
    began = next((one.event for one in run_store.store().events(run.id, limit=1)), None)
    if not isinstance(began, Started):
        return None
    return spare(run.spec, run.folder, RowCounts(len(began.classes), began.rows["train"], began.rows["test"]))


def walled(case: Case) -> bool:
    """Whether the rows of a case are those of an edge that asks a teacher behind a wall."""
    return any(map(private_rows.walled, specs(case.folder)))


def sent(case: Case) -> str:
    """What the remote teacher of a case was sent by hand by now; "" where there is none."""
    theirs = asked(case.folder).teacher if specs(case.folder) else None
    if not theirs or not theirs.service or not theirs.spec or not theirs.folder:
        return ""
    spec, told = parse(theirs.spec), by_hand(Path(theirs.folder), len(case.classes))
    if not spec.remote or spec.wall is None:
        return ""
    price = paid(told.images, dollars(told.images, spec.wall.price), spec.wall.price)
    said = f"Sent to the remote teacher from microscope and Inspector: {price}; {told.real:,} local or held-out ones."
    if not owned(theirs):
        return f"{said} {OTHERS}"
    run = run_store.known(Path(theirs.folder).name)
    limit = spare_of(run) if run else None
    return f"{said} {limit.says}" if limit else said


def anew(case: Case, run: Run) -> Question:
    """What is asked of a case's models, of a run in the place of its student."""
    return asked(case.folder).model_copy(update={"student": party(run)})


def brought(case: Case, files: Mapping[str, bytes]) -> str:
    """The case of a case's two models and images that somebody brings; its id.

    Raises:
        BadInput: one of them is refused, or the case has no models.
    """
    models = asked(case.folder)
    rows, notes = rows_of(files, case.about.shape)
    return opened(models.model_copy(update={"where": "given", "given": keep(rows), "notes": notes}))


def _own_teacher(student: Run) -> Run | None:
    spec = student.spec.teacher
    return run_store.store().finished_teacher(spec.hash) if spec else None


def opened(one: Question) -> str:
    """The case of a question, begun where it is not there; its id. Of another user's run it sends nothing."""
    if one.sends and not owned(one.teacher):
        one = one.model_copy(update={"sends": False})
    told = progress(one.folder, FIRST)
    if told is None or told.state == "failed":
        one.write()
        start(one.folder, FIRST)
    return one.id


def start(folder: Path, task: str, **wishes: Any) -> None:
    """Have a long task done, after those that wait already; while it waits or works it is not begun again."""
    if working(folder, task):
        return
    tell(folder, task, Progress(state="waiting", says="waiting for its turn"))
    _under_way.add((folder, task))
    _queue().submit(_do, folder, task, wishes, _sends(folder))


def working(folder: Path, task: str) -> bool:
    """Whether a task waits or works; one that another process left undone does neither."""
    begun = under_way(folder, task)  # first: a task says that it is done before it ceases to be under way
    told = progress(folder, task)
    return begun and told is not None and told.state in ("waiting", "working")


def under_way(folder: Path, task: str) -> bool:
    """Whether this process has begun a task and not ended it."""
    return (folder, task) in _under_way


_under_way: set[tuple[Path, str]] = set()  # what this process has begun: what another left undone is begun again


def _do(folder: Path, task: str, wishes: Mapping[str, Any], sends: bool) -> None:
    try:
        slow.ask({"task": task, "folder": str(folder), "asked": dict(wishes), "sends": sends})
    except BadInput as error:
        told = progress(folder, task)
        if told is None or told.state != "failed":  # the process died before it could say why
            tell(folder, task, Progress(state="failed", says=str(error)))
        log.warning("Task %s of %s failed: %s", task, folder.name, error)
    finally:
        _under_way.discard((folder, task))


def ask(folder: Path, task: str, **wishes: Any) -> dict[str, Any]:
    """What the examiner answers at once.

    Raises:
        BadInput: what hinders it.
    """
    return _told(folder, task, wishes, _sends(folder))


def _told(folder: Path, task: str, wishes: Mapping[str, Any], sends: bool) -> dict[str, Any]:
    """The examiner's answer; `sends` says that a run's remote teacher may be sent images for it."""
    request = {"task": task, "folder": str(folder), "asked": dict(wishes), "sends": sends}
    told: dict[str, Any] = quick.ask(request)["told"]
    return told


def later(folder: Path, task: str, **wishes: Any) -> None:
    """Have something answered while the page goes on; the task writes what it finds. Of several wishes the last counts.

    What hinders it stands in the task's progress.
    """
    tell(folder, task, Progress(state="waiting"))
    waits = (folder, task) in _wished
    _wished[folder, task] = wishes, _sends(folder)
    if not waits:
        _answers().submit(_answer, folder, task)


_wished: dict[tuple[Path, str], tuple[dict[str, Any], bool]] = {}  # what waits for its turn


@cache
def _answers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")


def _answer(folder: Path, task: str) -> None:
    try:
        _told(folder, task, *_wished.pop((folder, task)))
        tell(folder, task, Progress(state="done", share=1.0))
    except BadInput as error:
        tell(folder, task, Progress(state="failed", says=str(error)))


def case(case_id: str) -> Case:
    """A case by its id; that it was looked at keeps it from being forgotten.

    Raises:
        BadInput: there is none.
    """
    found = Case(folder_of(case_id))
    (found.folder / "about.json").touch()
    return found


def again(folder: Path) -> None:
    """Begin a case once more, where its first task was left undone by a server that ended.

    Raises:
        BadInput: it has no models, or rows may be sent for it to the teacher of another user's run.
    """
    one = asked(folder)
    if one.sends and not owned(one.teacher):
        raise BadInput(OTHERS)
    start(folder, FIRST)
