"""What a person asks a remote teacher from Inspector and microscope, against a server that counts what it receives:
nothing unasked, nothing twice, everything in the books and within the budget."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from counting import Counting, counting
from test_books import agree, done, real, synthetic

from app.cli.commands.inspect import figures
from kdcore.blackbox import microscope
from kdcore.comparison import worker
from kdcore.comparison.case import Case
from kdcore.comparison.question import Party, Question
from kdcore.events import Meter
from kdcore.runs.ledger import BY_HAND, totals
from kdcore.runs.record import read_arrays
from kdcore.runs.spare import ENDED, RowCounts, Spare, spare
from kdcore.spec.query_limits import closing, learning
from kdcore.spec.spec import Choice, Spec
from kdcore.teachers import http

CLASSES = 10
ROWS = RowCounts(CLASSES, 259, 359)  # of the data that the runs learn


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "sleep", lambda _: None)


class Over(NamedTuple):
    """A run that is over, and the server that taught it."""

    server: Counting
    spec: Spec
    folder: Path
    meter: Meter

    @property
    def sent(self) -> int:
        """Images that came so far."""
        return len(self.server.received().images)

    @property
    def by_hand(self) -> tuple[int, int]:
        """Images in the book of what was asked by hand, and real ones."""
        return totals(self.folder / BY_HAND, CLASSES)

    def question(self, where: str = "val", sends: bool = False, **more: Any) -> Question:
        told = {"folder": str(self.folder), "spec": self.spec.model_dump_json()}
        student = Party(title="the student", **told)
        teacher = Party(title="the teacher", service=self.spec.service, **told)
        return Question(data=self.spec.data, where=where, student=student, teacher=teacher, sends=sends, **more)  # type: ignore[arg-type]

    def case(self, **asked: Any) -> Case:
        """Both asked about the rows, in this process."""
        question = self.question(**asked)
        question.write()
        assert ask(question.folder, "answers") == {"told": None}
        return Case(question.folder)

    def look(self, **asked: Any) -> dict[str, Any]:
        """What the microscope answers."""
        request = {"folder": str(self.folder), "spec": self.spec.model_dump_json(), "teacher": None, **asked}
        return microscope.answer(json.dumps(request))


def ask(folder: Path, task: str, sends: bool = True, **asked: Any) -> dict[str, Any]:
    return worker.answer(json.dumps({"task": task, "folder": str(folder), "asked": asked, "sends": sends}))


def over(server: Counting, folder: Path, **wall: Any) -> Over:
    spec = synthetic(server.url, **wall)
    _, meter = done(spec, folder)
    agree(spec, meter, server.received())
    return Over(server, spec, folder, meter)


@pytest.fixture
def quiet(home: Path) -> Iterator[Over]:
    """A run that was allowed to send nothing for measuring."""
    with counting(8, CLASSES) as server:
        yield over(server, home / "run")


@pytest.fixture
def measured(home: Path) -> Iterator[Over]:
    """A run that was allowed to send everything."""
    with counting(8, CLASSES) as server:
        yield over(server, home / "run", measure="real")


def test_the_inspector_sends_nothing_unasked(quiet: Over) -> None:
    before = quiet.sent
    case = quiet.case()
    rows = len(case.rows)
    assert case.rows.teacher is None
    assert case.about.teacher is None
    assert f"{rows:,} of these {rows:,} rows would have to be sent to it" in case.about.notes[0]
    assert "tick \u201cRows may be sent" in case.about.notes[0]
    told = figures(case)["notes"][0]
    assert told.endswith("would have to be sent to it; to allow that, add --send-rows."), "a terminal has no box"
    assert "error" not in ask(case.folder, "drawn", row=3)
    assert (quiet.sent, quiet.by_hand) == (before, (0, 0))


def test_what_the_inspector_may_send_is_counted_and_not_sent_again(quiet: Over) -> None:
    before = quiet.sent
    case = quiet.case(sends=True)
    rows = len(case.rows)
    assert case.rows.teacher is not None
    assert quiet.sent - before == rows
    assert quiet.by_hand == (rows, rows)
    assert {one for one in quiet.server.received().pixels if one in real()}, "they are real ones"
    again = quiet.case(sends=True, notes=("another case",))
    assert np.array_equal(again.rows.teacher, case.rows.teacher)
    known = quiet.case(notes=("one that may send nothing",))
    assert known.rows.teacher is not None, "what is known needs no permission"
    assert (quiet.sent - before, quiet.by_hand) == (rows, (rows, rows))
    new = [[int(pixel) for pixel in line] for line in np.arange(64).reshape(8, 8)]
    assert "would send it 1 images" in ask(known.folder, "drawn", pixels=[new])["error"]
    assert "error" not in ask(again.folder, "drawn", pixels=[new])
    assert quiet.by_hand == (rows + 1, rows + 1)


def test_what_the_run_has_asked_is_known_to_both(measured: Over) -> None:
    before = measured.sent
    case = measured.case()
    assert case.rows.teacher is not None
    told = read_arrays(measured.folder / "static.npz")
    assert np.array_equal(case.rows.teacher[told["probe_index"]], told["teacher_logits"])
    sight = measured.look(row=3)["sight"]
    assert sight["teacher"] == pytest.approx(softmax(told["teacher_logits"][3]), abs=1e-6)
    assert not sight["may_ask"]
    assert (measured.sent, measured.by_hand) == (before, (0, 0))


def softmax(logits: np.ndarray) -> list[float]:
    odds = np.exp(logits - logits.max())
    return (odds / odds.sum()).tolist()  # type: ignore[no-any-return]


def test_the_microscope_asks_by_a_click_once_and_is_counted(quiet: Over) -> None:
    before = quiet.sent
    assert quiet.look(row=2)["sight"]["may_ask"]
    assert quiet.sent == before
    for _ in range(2):
        sight = quiet.look(row=2, ask=True)["sight"]
        assert (sight["asked"], sight["may_ask"]) == (1, False)
    assert quiet.look(latent=[1.0] + [0.0] * 9, ask=True)["sight"]["asked"] == 2
    assert (quiet.sent - before, quiet.by_hand) == (2, (2, 1))
    assert "1 of" not in str(quiet.case().about.notes), "the Inspector knows what the microscope asked"


def test_no_budget_is_overrun_by_hand(home: Path) -> None:
    with counting(8, CLASSES) as server:
        run = over(server, home / "run")
        budget = run.sent + 1
        wall = run.spec.wall.model_copy(update={"budget": budget})  # type: ignore[union-attr]
        run = run._replace(spec=run.spec.model_copy(update={"wall": wall}))
        before = run.sent
        case = run.case(sends=True)
        rows = len(case.rows)
        assert case.rows.teacher is None
        assert case.about.notes == (
            f"the teacher was not queried: {rows} of these {rows} rows would have to be sent to it. 1 of the run's "
            f"budget of {budget:,} images is left.",
        )
        assert (run.sent, run.by_hand) == (before, (0, 0))
        assert run.look(row=0)["sight"]["left"] == 1
        sight = run.look(row=0, ask=True)["sight"]
        assert (sight["asked"], sight["left"]) == (1, 0)
        assert (
            "Nothing was sent: 1 more image would have to be sent. 0 of the run's budget"
            in run.look(row=1, ask=True)["error"]
        )
        assert run.sent == budget


def test_what_was_asked_by_hand_is_part_of_the_runs_budget(home: Path) -> None:
    with counting(8, CLASSES) as server:
        run = over(server, home / "first")
        folder = home / "second"
        (folder / BY_HAND).parent.mkdir(parents=True)
        run.look(row=0, ask=True)
        run.look(row=1, ask=True)
        (folder / BY_HAND).write_bytes((run.folder / BY_HAND).read_bytes())
        budget = run.meter.images
        _, meter = done(synthetic(server.url, budget=budget), folder)
    assert meter.images <= budget - 2


def test_a_budget_that_reaches_for_a_part_of_the_rows_pays_for_none(home: Path) -> None:
    """The rows are sent in parts of 128: those that still fit would be paid for, and nothing shown for them."""
    with counting(8, CLASSES) as server:
        run = over(server, home / "run")
        wall = run.spec.wall.model_copy(update={"budget": run.sent + 300, "measure": "real"})  # type: ignore[union-attr]
        run = run._replace(spec=run.spec.model_copy(update={"wall": wall}))
        before = run.sent
        case = run.case(where="test")
        assert case.rows.teacher is None
        assert "300 of the run's budget of" in case.about.notes[0]
        assert run.sent == before


@pytest.mark.parametrize("measure", ["nothing", "real"])
def test_who_does_not_own_a_run_has_its_teacher_sent_nothing(home: Path, measure: str) -> None:
    """Whatever the run or the question allows: neither the rows nor an image drawn in a case that its owner opened."""
    with counting(8, CLASSES) as server:
        run = over(server, home / "run", measure=measure)
        before, question = run.sent, run.question(where="train", sends=True)
        question.write()
        assert ask(question.folder, "answers", sends=False) == {"told": None}
        case = Case(question.folder)
        assert case.rows.teacher is None
        assert case.about.notes[0].endswith("only who owns the run may send its teacher anything.")
        known = run.case(where="val", sends=True)
        sent = run.sent
        new = [[int(pixel) for pixel in line] for line in np.arange(64).reshape(8, 8)]
        assert "only who owns the run" in ask(known.folder, "drawn", sends=False, pixels=[new])["error"]
        assert (run.sent, sent >= before) == (sent, True)
        assert "error" not in ask(known.folder, "drawn", pixels=[new]), "its owner may"


@pytest.mark.parametrize("measure", ["nothing", "real"])
def test_before_a_run_is_over_nothing_is_taken_of_what_it_needs(home: Path, measure: str) -> None:
    """The old rule let queries by hand take all of the budget that was not spent yet, learning's share included."""
    with counting(8, CLASSES) as server:
        run = over(server, home / "run", measure=measure)
        wanted, tested = learning(run.spec, ROWS.local), closing(run.spec, ROWS.tested, ROWS.local)
        assert wanted is not None
        assert tested == (359 if measure == "real" else 0)
        budget = wanted + run.meter.looked + tested + 2
        wall = run.spec.wall.model_copy(update={"budget": budget})  # type: ignore[union-attr]
        run = run._replace(spec=run.spec.model_copy(update={"wall": wall}))
        ended = (run.folder / ENDED).read_bytes()
        (run.folder / ENDED).unlink()
        before = run.sent
        assert run.look(row=0)["sight"]["left"] == 2
        kept = f"until it ends, the run keeps {wanted:,} to learn from" + (
            " and 359 for its final test." if tested else "."
        )
        drawn = [[0.1 * step] + [1.0] * 9 for step in range(3)]
        for latent in drawn[:2]:
            assert run.look(latent=latent, ask=True)["sight"]["says"].endswith(kept)
        refused = run.look(latent=drawn[2], ask=True)["error"]
        assert refused.startswith("Nothing was sent: 1 more image would have to be sent. 0 of the run's budget of")
        assert refused.endswith(kept)
        assert run.sent - before == 2
        (run.folder / ENDED).write_bytes(ended)
        assert spare(run.spec, run.folder, ROWS) == Spare(budget, budget - run.sent, over=True), "all it did not use"


def test_where_nobody_knows_what_learning_asks_nothing_is_sent_before_the_end(home: Path) -> None:
    with counting(8, CLASSES) as server:
        run = over(server, home / "run")
        wall = run.spec.wall.model_copy(update={"budget": 10**6})  # type: ignore[union-attr]
        spec = run.spec.model_copy(update={"wall": wall, "source": Choice(name="data", knobs={"augment": "shift"})})
        assert learning(spec) is None
        assert spare(spec, run.folder, ROWS) == Spare(10**6, 10**6 - run.sent, over=True)
        (run.folder / ENDED).unlink()
        limit = spare(spec, run.folder, ROWS)
        assert limit
        assert limit.left == 0
        assert "may need its whole budget of 1,000,000 images" in limit.says
