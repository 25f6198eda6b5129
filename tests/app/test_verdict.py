"""The verdict on runs made by hand: what it says, what it does not claim, and a file that needs nothing else."""

from __future__ import annotations

import os
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from record_factory import COPIES

from app.paths import ASSETS
from app.reports import html_figures, html_report, verdict
from app.reports.verdict import Facts
from kdcore.blackbox.frontier import Reference
from kdcore.blackbox.orders import Order, spec
from kdcore.errors import BadInput
from kdcore.events import Evaluated, Event, Finished, Frame, Meter, Score, Started
from kdcore.jobs.exchange import load
from kdcore.jobs.store import Store
from kdcore.probes.copies import judged
from kdcore.runs.ledger import Totals
from kdcore.runs.record import read_arrays, write_arrays
from kdcore.spec.spec import Choice, Measure

RESULT = {"student_accuracy": 0.9, "teacher_accuracy": 0.98, "agreement": 0.91}
METER = Meter(images=10_000, requests=157, bytes_up=2_560_000, bytes_down=400_000)
NOTES = {"cycle": 0.95, "class_entropy": 2.2, **COPIES}


ORDER = Order(price=2.0)


def facts(order: Order = ORDER, **changes: Any) -> Facts:
    asked = spec(order)
    ended = Finished(step=10, result=RESULT, meter=changes.pop("meter", METER), spent=changes.pop("spent", False))
    return Facts(asked, ended, NOTES, 10, 129, 40, Totals(0, 0), None)._replace(**changes)


def told(of: Facts) -> str:
    return "\n".join(f"{one.part}|{one.text}|{one.panel}" for one in verdict.verdict(of))


def test_learned_cost_and_leaked_in_this_order() -> None:
    said = verdict.verdict(facts())
    assert list(dict.fromkeys(one.part for one in said)) == ["learned", "cost", "leaked"]
    assert all(one.text.endswith(".") for one in said)


def test_numbers_are_those_of_the_run() -> None:
    text = told(facts())
    assert "correct on 90.0 % of the test set, its teacher on 98.0 % of it; they agree on 91.0 %" in text
    assert "10,000 queries; cost $20.00 ($2.00 per 1,000); 2.56 MB sent and 400 kB received." in text
    assert "Real images sent: 0 of the edge's 129 and 0 held-out ones. Only synthetic images were sent." in text
    assert "Measured for this page on 40 held-out images." in text
    assert "a real cloud would have seen them" in text
    assert "answered 10,000 queries, each with a probability for each class; the student agrees with it" in text


def test_answers_are_told_as_the_wall_lets_them_through() -> None:
    assert "each with its 3 largest probabilities rounded to 2 decimals;" in told(facts(Order(top=3, digits=2)))
    noisy = told(facts(Order(noise=0.1)))
    assert "each with a probability for each class with noise of standard deviation 0.1;" in noisy
    assert "each with one class;" in told(facts(Order(access="labels", preset="paper")))


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ({"test_rows": 1797.0}, " (1,635 of 1,797)"),
        ({"test_rows": 1797.0, "compared_rows": 200.0}, " (182 of 200)"),
        ({}, ""),
    ],
)
def test_what_was_taken_is_told_with_its_counts(rows: dict[str, float], counted: str) -> None:
    ended = Finished(step=10, result=RESULT | rows, meter=METER)
    assert f"agrees with it on 91.0 % of unseen test images{counted}." in told(facts(ended=ended))


def test_local_images_that_left_are_counted() -> None:
    assert "Real images sent: 129. 129 local images (or mixes of them) to learn from." in told(
        facts(Order(preset="kd", local=True), meter=Meter(images=129, local=129))
    )


@pytest.mark.parametrize(
    ("cycle", "words"),
    [
        (0.95, "Cycle accuracy of the inversions is 95.0 % (chance is 10.0 %), so the generated images mostly show"),
        (0.08, "Cycle accuracy of the inversions is 8.0 % (chance is 10.0 %), so the generated images look like"),
    ],
)
def test_inversions_never_stand_without_cycle_accuracy(cycle: float, words: str) -> None:
    assert words in told(facts(notes=NOTES | {"cycle": cycle}))


def test_shares_of_inversions_have_their_count_and_chance_level() -> None:
    notes = NOTES | {"cycle": 124 / 128, "cycle_rows": 128.0, "argmax_inverse": 46 / 128, "argmax_inverse_rows": 128.0}
    found = facts(notes=notes)
    assert "Cycle accuracy of the inversions is 96.9 % (124 of 128; chance is 10.0 %), so" in told(found)
    table = html_figures._measured(found, "coverage", "Coverage", html_figures.COVERAGE)
    assert "35.9 % (46 of 128; chance is 10.0 %)" in table


def test_what_was_not_measured_is_said_to_be_so() -> None:
    text = told(facts(notes={}))
    assert text.count("was not measured") == 2
    assert "Cannot tell whether synthetic images copy local ones" in text
    assert "what the detour costs is not measured" in text


@pytest.mark.parametrize(
    ("changes", "reveals", "words"),
    [
        (
            {"copies_matched": 3.0},
            True,
            "3 of 50 synthetic images match local images exactly or nearly. 1 of 50",
        ),
        ({"copies_p": 0.01}, True, "closer to local images than to held-out ones. 1 of 50 (2.0 %)"),
        ({}, False, "finds exact copies if they make up 3.0 % of the synthetic images and shifted, noisy copies if"),
        ({"copies_held": 20.0}, False, "Cannot tell whether synthetic images copy local ones: only 20 images"),
    ],
)
def test_what_is_said_of_copies_has_its_numbers(changes: dict[str, float], reveals: bool, words: str) -> None:
    text = told(facts(notes=NOTES | changes))
    assert words in text
    assert ("The queries reveal something about the local images." in text) == reveals


def test_a_source_that_sends_local_images_is_not_searched_for_copies() -> None:
    assert "copies" not in told(facts(Order(preset="knockoff", local=True))).lower()


@pytest.mark.parametrize(
    ("accuracy", "words"), [(0.93, "93.0 %, 3.0 points more than"), (0.88, "2.0 points less than"), (0.9, "as much as")]
)
def test_the_reference_is_told_however_it_compares(accuracy: float, words: str) -> None:
    beside = Reference("r", spec(Order(preset="kd", local=True)), accuracy, None)
    text = told(facts(beside=beside))
    assert "on the edge's 129 real images themselves (Knowledge distillation) reaches" in text
    assert words in text


def test_the_reference_tells_its_steps_where_they_differ() -> None:
    local = spec(Order(preset="kd", local=True))
    longer = local.model_copy(update={"schedule": local.schedule.model_copy(update={"steps": 2000})})
    text = told(facts(beside=Reference("r", longer, 0.93, None)))
    assert "real images themselves (Knowledge distillation, 2,000 steps against 800 here) reaches 93.0 %" in text


def test_a_run_on_real_images_without_another_is_laid_beside_none() -> None:
    text = told(facts(Order(preset="kd", local=True)))
    assert "This run itself learned on the edge's real images, and no other with this teacher did" in text
    assert "detour" not in text


def test_a_budget_and_what_was_asked_besides() -> None:
    order = Order(budget=100_000)
    assert "That is 10.0 % of the budget of 100,000." in told(facts(order))
    assert "ended the run before its last step; it was not exceeded" in told(facts(order, spent=True))
    meter = METER.model_copy(update={"looked": 5, "retried": 3})
    text = told(facts(meter=meter))
    assert "10,000 queries" in text, "what is measured on this machine is not paid for"
    assert "3 images were sent without a reply" in text


REMOTE = Choice(name="http", knobs={"model": "m"})


@pytest.mark.parametrize(
    ("measure", "looked", "words"),
    [
        (
            "nothing",
            (0, 0),
            ["10,000 queries; cost $10.00", "Agreement with the teacher was not measured"],
        ),
        (
            "synthetic",
            (50, 0),
            ["10,050 queries; cost $10.05", "10,000 of them were for learning and 50"],
        ),
        (
            "real",
            (500, 400),
            ["cost $10.50", "Real images sent: 400. 0 local images", "400 local or held-out ones"],
        ),
        ("real", (500, None), ["500 more images were sent for measuring, held-out and local ones among them"]),
    ],
)
def test_images_sent_for_measuring_are_told_and_paid_for(
    measure: Measure, looked: tuple[int, int | None], words: list[str]
) -> None:
    meter = METER.model_copy(update={"looked": looked[0], "looked_real": looked[1]})
    found = facts(Order(service=REMOTE, measure=measure), meter=meter)
    if measure != "real":
        result = {"student_accuracy": 0.9}
        found = found._replace(ended=found.ended.model_copy(update={"result": result}))
    text = told(found)
    assert all(part in text for part in words)
    assert ("Only synthetic images were sent." in text) == (looked[1] == 0)
    assert "a real cloud would have seen" not in text


@pytest.mark.parametrize(
    ("order", "looked", "why"),
    [
        ({"measure": "nothing"}, 0, "that would have sent it held-out images, which was not allowed"),
        (
            {"measure": "real", "budget": 900},
            895,
            "the budget of 900 images left too few for it: 0 went to learning and 895 to other measurements.",
        ),
        ({"measure": "real"}, 2000, "the 2,000 images that it may be sent for measuring alone were used up"),
    ],
)
def test_what_was_not_measured_names_its_reason(order: dict[str, Any], looked: int, why: str) -> None:
    meter = Meter(images=0, looked=looked, looked_real=looked)
    found = facts(Order(preset="paper", pool=300, service=REMOTE, **order), meter=meter, notes={})
    result = {"student_accuracy": 0.9}
    text = told(found._replace(ended=found.ended.model_copy(update={"result": result})))
    assert f"Agreement with the teacher was not measured, because {why}" in text
    assert f"Whether generated images show the predicted class was not measured, because {why}" in text
    assert text.count("was not measured, because") == 3
    assert text.count("would have sent it") == (2 if looked == 0 else 0) + (looked == 0)


def test_what_was_sent_by_hand_is_told() -> None:
    text = told(facts(by_hand=Totals(3, 2)))
    assert (
        "By hand, from microscope and Inspector, 3 more images were sent, 2 of them local or held-out ones; cost $0.01."
        in text
    )


def test_real_images_sent_by_hand_are_real_images_sent() -> None:
    found = facts(Order(service=REMOTE), by_hand=Totals(3, 2))
    text = told(found)
    assert "Real images sent: 0 by the run, 2 local or held-out ones by hand afterwards." in text
    assert "Only synthetic images" not in text
    sending = facts(Order(service=REMOTE), by_hand=Totals(3, 2), meter=METER.model_copy(update={"local": 7}))
    assert "to learn from; 2 local or held-out ones more by hand." in told(sending)


def test_without_a_wall_nobody_counted() -> None:
    text = told(facts(Order(preset="quick", access="white_box"), meter=None))
    assert "The teacher was no black box in this run, so queries were not counted." in text
    assert "images sent" not in text


@pytest.fixture
def finished(store: Store) -> Any:
    """A run with pictures that is over."""
    run = store.submit(spec(Order()), "me")
    assert store.claim(1, run.id)
    classes = tuple("0123456789")
    cost: Any = {"parameters": 1, "multiply_adds": 1, "size_bytes": 4}
    rows = {"train": 129, "val": 20, "test": 20}
    score = Score(accuracy=0.5, nll=1.0, ece=0.1)
    events: list[Event] = [
        Started(
            step=0, steps=10, lead=4, device="cpu", torch="2", classes=classes, rows=rows, student=cost, teacher=cost
        ),
        *(Evaluated(step=at, split="val", student=score, teacher=score) for at in (4, 10)),
        Frame(step=10, file="frames/00000010.npz", notes=NOTES),
        Finished(step=10, result=RESULT, meter=METER),
    ]
    random = np.random.default_rng(0)
    pictures = random.integers(256, size=(36, 1, 8, 8)).astype(np.uint8)
    write_arrays(run.folder / "static.npz", {"probe_x": pictures, "local_x": pictures[:12]})
    made = {"made_x": pictures, "made_logits": random.normal(size=(36, 10))}
    inverses = {"inverse_teacher": pictures[:12], "inverse_student": pictures[:12]}
    write_arrays(run.folder / "frames/00000010.npz", {"step": np.array(10), **made, **inverses})
    store.append(run.id, events)
    return store.get(run.id)


def test_the_file_holds_all_it_shows(store: Store, finished: Any) -> None:
    found, record = html_report.facts_of(store, finished)
    text = html_report.report(finished, found, record, "http://127.0.0.1:8501/blackbox", real=True)
    assert text.count('src="data:image/png;base64,') == text.count("<img ") == 36 + 12 + 3 * 8
    assert not re.search(r'(src|href)="(?!data:|#|http://127\.0\.0\.1:8501/blackbox)', text)
    assert "<script" not in text
    assert "Cycle accuracy is 95.0 % (chance is 10.0 %)." in text
    assert "prefers-color-scheme: dark" in text
    for place in re.findall(r'href="#([a-z]+)"', text):
        assert f'id="{place}"' in text
    assert {"course", "inversions", "coverage", "meter", "copies"} == set(re.findall(r'href="#([a-z]+)"', text))
    assert f"?run={finished.id}#frontier" in text  # no run on real images is here, so the file has no such table
    assert "_L" not in text.partition("</style>")[0]


@pytest.mark.parametrize(("state", "goes"), [("queued", "wait until it is done"), ("failed", "`kdlab resume")])
def test_a_run_without_its_end_says_how_it_gets_there(store: Store, state: Any, goes: str) -> None:
    run = store.submit(spec(ORDER), "a" * 32)
    if state == "failed":
        store.claim(os.getpid(), run.id)
        store.move(run.id, state, message="It broke.")
    with pytest.raises(BadInput, match=goes):
        html_report.facts_of(store, store.get(run.id))


def shown(html: str) -> list[np.ndarray]:
    """All pictures of a file as pixels, undoing what enlarged them."""
    found = []
    for content in re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html):
        pixels = np.asarray(Image.open(BytesIO(b64decode(content))))
        found.append(pixels[:: len(pixels) // 8, :: pixels.shape[1] // 8])
    return found


@pytest.mark.parametrize("real", [False, True])
def test_no_local_image_is_in_the_file_unless_that_is_allowed(store: Store, finished: Any, real: bool) -> None:
    random = np.random.default_rng(1)
    local, probe = random.integers(256, size=(2, 36, 1, 8, 8)).astype(np.uint8)
    write_arrays(finished.folder / "static.npz", {"probe_x": probe, "local_x": local})
    frame = finished.folder / "frames/00000010.npz"
    arrays = read_arrays(frame)
    arrays["made_x"][[3, 7]] = local[:2]  # a generator that copies
    copied = np.isin(np.arange(36), [3, 7])
    write_arrays(frame, arrays | {"made_copied": copied, "inverse_teacher": local[:12], "inverse_student": probe[:12]})
    text = html_report.report(finished, *html_report.facts_of(store, finished), real=real)
    private = {one.tobytes() for one in (*local[:, 0], *probe[:, 0])}
    held = {one.tobytes() for one in shown(text)} & private
    assert bool(held) == real
    assert len(shown(text)) == (36 + 12 + 3 * 8 if real else 34)
    assert ("among them 2 synthetic ones that match or contain a local image" in text) != real


def test_without_an_address_no_link_leaves_the_file(store: Store, finished: Any) -> None:
    text = html_report.report(finished, *html_report.facts_of(store, finished))
    assert "http" not in text.replace("http-equiv", "")


def test_the_command_line_tells_or_writes_it(finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from app.cli import WRONG, main

    assert main(["verdict", finished.id]) == 0
    assert "What leaked\n  Real images sent: 0 of" in capsys.readouterr().out
    assert main(["verdict", finished.id, "-o", str(tmp_path / "verdict.html")]) == 0
    assert (tmp_path / "verdict.html").read_text().startswith("<!doctype html>")
    bare = (tmp_path / "verdict.html").read_text()
    assert main(["verdict", finished.id, "-o", str(tmp_path / "all.html"), "--real-images"]) == 0
    assert bare.count("<img ") == 36 < (tmp_path / "all.html").read_text().count("<img ")
    assert main(["verdict", finished.id, "-o", str(tmp_path / "no" / "v.html")]) == WRONG
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mekd-soft", "mekd-hard"])
def test_the_recorded_runs_say_whether_images_are_copies(name: str) -> None:
    told = load(ASSETS / "demo" / name).told
    last = [heard.event for heard in told if isinstance(heard.event, Frame)][-1]
    assert judged(last.notes).outcome != "unknown"
    assert last.notes["copies_judged"] == 512


def test_what_took_the_budget_by_hand_is_named() -> None:
    """The verdict named learning and measuring alone, which did not add up to the budget."""
    wish = Order(service=REMOTE, measure="real", budget=900, preset="paper", pool=600)
    text = told(facts(wish, by_hand=Totals(359, 359)))
    assert "359 queries sent by hand" in text
    assert f"The teacher answered {METER.images + METER.looked + 359:,} queries (359 queries sent by hand)" in text
