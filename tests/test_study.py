"""A study's plan, its rows and its table."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from app.cli.commands import study as command
from app.results import method_results, studies
from app.results.studies import COLUMNS, FOLDER, markdown, publish, published
from kdcore.errors import BadInput
from kdcore.study.study import (
    Row,
    Study,
    Trial,
    cells,
    half_width,
    key,
    load,
    priced,
    read,
    step_costs,
    trials,
    verdicts,
)

NET = {"name": "mlp", "knobs": {"width": 8, "depth": 1}}
SPEC = {
    "data": {"name": "moons"},
    "student": NET,
    "teacher": {"data": {"name": "moons"}, "student": {"name": "mlp"}, "method": {"name": "ce"}},
    "schedule": {"steps": 100},
}


def study(**changes: Any) -> Study:
    task = {"name": "moons", "says": "Two moons.", "spec": SPEC}
    return Study.model_validate(
        {"name": "small", "says": "A test.", "tasks": [task], "methods": ["ce", "kd"], "seeds": [0, 1]} | changes
    )


def row(task: str, method: str, seed: int, accuracy: float, step_s: float = 1.0, budget: str = "steps") -> Row:
    told = {"accuracy": accuracy, "agreement": 0.5, "ece": 0.1, "nll": 1.0, "kl": 0.2}
    return {"task": task, "method": method, "seed": seed, "budget": budget, "steps": 100, "step_s": step_s, **told}


def answered(asked: Study, step_s: dict[str, float]) -> dict[str, Row]:
    """A row for each trial so far."""
    return {
        trial.key: row(trial.task, trial.method, trial.seed, 0.5, step_s[trial.method]) for trial in trials(asked, {})
    }


def test_every_method_meets_every_task_with_every_seed() -> None:
    asked = study(variants=[{"label": "hot", "method": "kd", "knobs": {"temperature": 8.0}}])
    found = trials(asked, {})
    assert [(trial.method, trial.seed) for trial in found] == [
        (method, seed) for seed in (0, 1) for method in ("kd", "ce", "hot")
    ]
    assert {trial.spec.seed for trial in found} == {0, 1}
    assert [trial.spec.method.knobs["temperature"] for trial in found if trial.method == "hot"] == [8.0, 8.0]
    assert len({trial.key for trial in found}) == 6
    assert all(trial.spec.teacher is not None for trial in found), "so that agreement is known without distilling too"


def test_a_variant_may_change_the_spec_and_stand_on_some_tasks_alone() -> None:
    two = [{"name": name, "says": "Two moons.", "spec": SPEC} for name in ("first", "second")]
    hot = {"label": "hard", "method": "hard_label", "set": {"access": "labels"}, "tasks": ["second"]}
    found = trials(study(tasks=two, variants=[hot], methods=["kd"], seeds=[0]), {})
    assert [(trial.task, trial.method, trial.spec.access) for trial in found] == [
        ("first", "kd", "white_box"),
        ("second", "kd", "white_box"),
        ("second", "hard", "labels"),
    ]


def test_a_method_that_costs_more_gets_fewer_steps_in_the_same_time() -> None:
    asked = study(methods=["ce", "kd", "dkd", "rkd"])
    rows = answered(asked, {"kd": 2.0, "ce": 1.0, "dkd": 2.02, "rkd": 8.0})
    timed = [trial for trial in trials(asked, rows) if trial.budget == "time"]
    assert {trial.method: trial.spec.schedule.steps for trial in timed} == {"ce": 200, "rkd": 25}
    assert len(timed) == 4
    assert all(trial.budget == "steps" for trial in trials(asked, dict(list(rows.items())[1:])))
    assert step_costs(asked, rows.values())["moons", "rkd"] == 4.0


def test_a_method_of_generations_starts_from_a_network_like_the_student() -> None:
    from kdcore.spec.catalogue import catalogue

    names = [name for name, one in catalogue()["method"].items() if one["lineage"] == "generations"]
    for trial in trials(study(methods=["kd", *names], seeds=[0]), {}):
        assert trial.spec.teacher is not None
        assert (trial.spec.teacher.student == trial.spec.student) == (trial.method in names)
        assert trial.spec.teacher.seed != trial.spec.seed or trial.method not in names, "it starts from other weights"


def test_images_that_were_counted_are_priced_at_the_price_of_the_wall(tmp_path: Path) -> None:
    def walled(service: dict[str, Any] | None, **wall: Any) -> dict[str, Any]:
        teacher = {"service": service} if service else {"teacher": SPEC["teacher"]}
        return {"data": SPEC["data"], "student": NET, "access": "probabilities", "wall": wall} | teacher

    remote = {"name": "http", "knobs": {"model": "m"}}
    here = {"name": "here", "says": "A teacher of ours.", "spec": walled(None, price=2.0)}
    far = {"name": "far", "says": "A remote one.", "spec": walled(remote, price=3.0, measure="real")}
    variants = [{"label": "dear", "method": "kd", "set": {"wall": {"price": 10.0}}, "tasks": ["here"]}]
    asked = study(tasks=[here, far], methods=["kd", "ce"], variants=variants, seeds=[0], notes=["images", "dollars"])
    counted = {"notes": {"images": 1000, "looked": 500}}
    rows = [row(task, method, 0, 0.8) | counted for task, method in (("here", "kd"), ("far", "kd"), ("here", "dear"))]
    rows += [row("here", "ce", 0, 0.7), row("far", "ce", 0, 0.7) | {"notes": {"images": 1000, "dollars": 7.0}}]
    rows += [row("gone", "ce", 0, 0.7) | counted]
    found = [one.get("notes", {}).get("dollars") for one in priced(asked, rows)]
    assert found == [pytest.approx(2.0), pytest.approx(4.5), pytest.approx(10.0), None, 7.0, None]
    text = publish(tmp_path / "priced.yaml", asked, rows)[1].read_text()
    assert "| steps | images | dollars |" in text
    assert "| 1000 | 10.00 |" in text


def test_means_intervals_and_the_sign_test() -> None:
    asked = study(seeds=[0, 1, 2, 3, 4], budgets=["steps"])
    gains = [0.02, 0.01, 0.03, -0.01, 0.0]
    rows = [row("moons", "kd", seed, 0.8) for seed in range(5)]
    rows += [row("moons", "ce", seed, 0.8 + gain, step_s=0.5) for seed, gain in enumerate(gains)]
    (verdict,) = verdicts(asked, rows)
    assert (verdict.method, verdict.wins, verdict.losses) == ("ce", 3, 1)
    assert verdict.p == pytest.approx(2 * (1 + 4) / 16)  # 0 or 1 loss of 4, both sides
    assert verdict.gain == pytest.approx(0.01)
    cell = next(cell for cell in cells(asked, rows) if cell.method == "ce")
    assert cell.mean["accuracy"] == pytest.approx(0.81)
    accuracies = [one["accuracy"] for one in rows[5:]]
    low, high = stats.t.interval(0.95, 4, loc=0.81, scale=stats.sem(accuracies))
    assert cell.half["accuracy"] == pytest.approx((high - low) / 2)
    assert (cell.seeds, cell.step_cost) == (5, 0.5)


def test_a_student_that_two_tasks_share_counts_once_and_its_gap_is_the_mean() -> None:
    """Hard labels teach the same five students whether the teacher tells probabilities or not: p is 2/2^5, no less."""
    two = [{"name": name, "says": "Two moons.", "spec": SPEC} for name in ("soft", "hard")]
    asked = study(tasks=two, seeds=[0, 1, 2, 3, 4], budgets=["steps"])
    rows = [row(task, "kd", seed, base) for task, base in (("soft", 0.5), ("hard", 0.7)) for seed in range(5)]
    shared = [row(task, "ce", seed, 0.8 + seed / 100) for task in ("soft", "hard") for seed in range(5)]
    (verdict,) = verdicts(asked, rows + shared)
    assert (verdict.wins, verdict.losses, verdict.p) == (5, 0, pytest.approx(2 / 2**5))
    assert verdict.gain == pytest.approx(0.22)
    apart = [one | {"nll": 1.0 + (one["task"] == "hard")} for one in shared]
    (verdict,) = verdicts(asked, rows + apart)
    assert (verdict.wins, verdict.losses, verdict.p) == (10, 0, pytest.approx(2 / 2**10))


def test_seeds_are_told_apart_from_tasks_on_which_alone_other_tasks_rest() -> None:
    """Five seeds of a task share its teacher: a task that all of them win is one task won."""
    names = ("moons", "circles", "digits", "twin")
    asked = study(tasks=[{"name": name, "says": "A task.", "spec": SPEC} for name in names], seeds=list(range(5)))
    gains = {"moons": 0.1, "circles": 0.02, "digits": -0.01, "twin": -0.01}
    rows = [row(task, "kd", seed, 0.5 + seed / 100) for task in names for seed in range(5)]
    rows += [row(task, "ce", seed, 0.5 + gains[task] + seed / 100) for task in names for seed in range(5)]
    found = next(one for one in verdicts(asked, rows) if one.budget == "steps")
    assert (found.wins, found.losses) == (10, 5)
    assert (found.tasks_won, found.tasks) == (2, 3)  # the twin has the students of the digits
    said = studies.reading([found] * 55)
    assert "It is about these tasks, with their teachers and test rows, which all seeds of a task share" in said
    assert "Below 0.00091, which is 0.05 divided by the number of comparisons" in said
    assert "rests on the tasks won alone" in said
    assert "and even 3 of 3 have p = 0.25." in said
    assert "one learning rate, so a larger loss takes larger steps" in said


def test_methods_that_train_at_a_share_of_the_learning_rate_are_named() -> None:
    assert "(a share of it: sld 0.5, mlkd 0.1)" in studies.unequal(["kd", "sld", "mlkd", "kd+tau"])
    assert "share of it" not in studies.unequal(["kd", "dkd"])


def test_no_table_of_ours_lets_p_speak_of_other_tasks() -> None:
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text()
        assert "accident" not in text
        assert ("| p |" in text) == ("| tasks won |" in text) == ("says nothing of other tasks" in text)
        assert ("| p |" in text) == ("larger loss takes larger steps" in text)


@pytest.mark.parametrize("accuracies", [[0.8], [0.8, 0.8, 0.8]])
def test_a_single_value_and_equal_ones_have_no_interval(accuracies: list[float]) -> None:
    asked = study(methods=["kd"], seeds=list(range(len(accuracies))), budgets=["steps"])
    (cell,) = cells(asked, [row("moons", "kd", seed, accuracy) for seed, accuracy in enumerate(accuracies)])
    assert math.isnan(half_width(accuracies))
    assert (studies._interval(cell, "accuracy", 100.0, 1), method_results.percent(cell, "accuracy")) == (
        "80.0",
        "80.0 %",
    )


def test_equal_steps_serve_for_equal_time_only_where_a_step_costs_the_same() -> None:
    asked = study(methods=["ce", "kd", "dkd", "rkd"], seeds=[0])
    rows = [row("moons", "kd", 0, 0.8), row("moons", "dkd", 0, 0.9, step_s=1.04)]
    rows += [row("moons", "ce", 0, 0.7, step_s=0.5), row("moons", "ce", 0, 0.75, budget="time")]
    rows += [row("moons", "rkd", 0, 0.6, step_s=3.0)]  # its trial of equal time is still to come
    found = {(cell.method, cell.budget): cell.mean["accuracy"] for cell in cells(asked, rows)}
    steps = {("kd", "steps"): 0.8, ("dkd", "steps"): 0.9, ("ce", "steps"): 0.7, ("rkd", "steps"): 0.6}
    assert found == steps | {("kd", "time"): 0.8, ("dkd", "time"): 0.9, ("ce", "time"): 0.75}
    timed = [(one.method, round(one.gain, 3)) for one in verdicts(asked, rows) if one.budget == "time"]
    assert timed == [("dkd", 0.1), ("ce", -0.05)]


def test_what_could_not_be_run_is_told_and_counts_for_nothing() -> None:
    asked = study(seeds=[0])
    failed = {"task": "moons", "method": "ce", "seed": 0, "budget": "steps", "error": "It broke."}
    rows = [row("moons", "kd", 0, 0.8), failed]
    assert [cell.error for cell in cells(asked, rows)] == [None, "It broke.", None]
    assert verdicts(asked, rows) == []


def test_a_cut_off_line_is_passed_over_and_the_last_word_on_a_trial_counts(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert load(path) == {}
    place = {"task": "moons", "method": "ce", "seed": 0, "budget": "steps", "spec": "0f"}
    first, second = (json.dumps(place | {"accuracy": accuracy}) for accuracy in (0.1, 0.2))
    path.write_text(f"{first}\n{second}\n{first[:40]}")
    assert load(path) == {key(place): place | {"accuracy": 0.2}}


def test_results_are_written_and_read_again(tmp_path: Path) -> None:
    asked = study(seeds=[0], notes=["share"])
    rows = [row("moons", "kd", 0, 0.8123456789) | {"notes": {"share": 1 / 3}}, row("moons", "ce", 0, 0.7)]
    files = publish(tmp_path / "small.yaml", asked, rows)
    assert [file.name for file in files] == ["small.json", "small.md"]
    found = published("small", tmp_path)
    assert found.study == asked
    assert found.rows == [rows[0] | {"accuracy": 0.812346, "notes": {"share": 0.333333}}, rows[1]]
    text = files[1].read_text()
    assert "| kd | 81.2 | 50.0 | 10.0 | 1.000 | 1.00 | 100 | 0.333 |" in text
    assert "| 1.00 | 100 |  |" in text
    assert "| ce | 0 | 1 | 1 | 0 of 1 | -11.23 |" in text
    with pytest.raises(BadInput, match="no results of a study 'other'"):
        published("other", tmp_path)
    files[0].write_text(files[0].read_text()[:100])
    with pytest.raises(BadInput, match="are damaged"):
        published("small", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks: [", "is not YAML"),
        ("[" * 5000 + "]" * 5000, "is not YAML: it is nested"),
        ("since: !!timestamp q", "is not YAML"),
        ("name: x", "says"),
        ("name: x\nsays: y\ntasks: [{name: a, says: b, spec: {}}]\nspeed: 3", "speed"),
    ],
)
def test_a_bad_study_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=said):
        read(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": []}, "at least 1 item"),
        ({"tasks": []}, "at least 1 item"),
        ({"seeds": [0, 1, 0]}, "the seed 0 twice"),
        ({"methods": ["kd", "kd"]}, "the method 'kd' twice"),
        ({"variants": [{"label": "kd", "method": "kd"}]}, "the method 'kd' twice"),
        ({"name": "a" * 400}, "at most 80 characters"),
        ({"says": "\ud800"}, "not UTF-8"),
    ],
)
def test_a_study_names_everything_once_and_something(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        study(**changes)


def test_a_reference_that_is_not_compared_is_refused() -> None:
    with pytest.raises(BadInput, match="'kd'"):
        study(methods=["ce"]).compared()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_kept_here_are_whole(path: Path) -> None:
    """Their plans can be made, their tables are those of their results, and to write them again changes nothing."""
    asked = read(path)
    assert published(path.stem).study == asked
    assert asked.name == path.stem
    places = sum(len(variant.tasks or asked.tasks) for variant in asked.compared())
    assert len(trials(asked, {})) == places * len(asked.seeds)
    if path.with_suffix(".json").exists():
        kept = published(asked.name)
        assert path.with_suffix(".md").read_text() == markdown(kept)
        assert tuple(json.loads(path.with_suffix(".json").read_text())["columns"]) == COLUMNS


def test_a_study_sends_no_local_images_without_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trials ran as any other: the edge's images were sent to the server that a spec named."""
    begun: list[int] = []
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    monkeypatch.setattr(command, "_do", lambda left, *_: begun.append(len(left)) or kept_rows(left, tmp_path))
    far = {"name": "http", "knobs": {"url": "http://127.0.0.1:9", "model": "m"}}
    asked = {"data": {"name": "digits"}, "student": {"name": "cnn"}, "access": "probabilities", "wall": {}}
    text = {"name": "far", "says": "So.", "methods": ["kd"], "reference": "kd", "seeds": [0], "budgets": ["steps"]}
    task = {"name": "t", "says": "So.", "spec": asked | {"service": far}}
    place = tmp_path / "far.yaml"
    place.write_text(json.dumps(text | {"tasks": [task]}))
    with pytest.raises(BadInput, match=r"sends local \(real\) images to the server at http://127.0.0.1:9"):
        command.study(place, 1, False)
    assert not begun
    command.study(place, 1, False, send_local=True)
    assert begun == [1]


def kept_rows(left: list[Trial], home: Path) -> None:
    """What the processes of a study leave behind."""
    rows = [one.place | {"steps": 1, "step_s": 1.0, "accuracy": 0.5, "notes": {}} for one in left]
    place = home / "studies" / "far.jsonl"
    place.parent.mkdir(exist_ok=True)
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
