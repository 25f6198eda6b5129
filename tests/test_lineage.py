"""The runs that come before a run: how many, in which order, of what size, from which seeds; and that they happen."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from kdcore.contracts.method import LINEAGES
from kdcore.engine.train import train
from kdcore.errors import BadInput
from kdcore.events import Finished, Step
from kdcore.jobs.store import Store
from kdcore.jobs.worker import Worker
from kdcore.spec import row_ranges
from kdcore.spec.catalogue import catalogue, cost_of
from kdcore.spec.checks import check
from kdcore.spec.lineage import between, forerunners, further, lineage, recommended, rooted
from kdcore.spec.registry import DATA, METHODS
from kdcore.spec.schedule import Json, Schedule
from kdcore.spec.spec import Choice, Spec, Watch, parse

COUNTED = [kind for kind in LINEAGES if kind != "teacher"]
OF = {kind: next(name for name in METHODS if METHODS[name].lineage == kind) for kind in COUNTED}
COUNTS = {kind: list(range(1 + (kind == "copies"), 4)) for kind in COUNTED}
CASES = [(kind, count) for kind in COUNTED for count in COUNTS[kind]]
SETS = ["digits", "moons"]


def asked(kind: str, count: int, data: str = "digits", seed: int = 0) -> Spec:
    return recommended(data, OF[kind], method_knobs={kind: count}, seed=seed)


def chain(spec: Spec) -> Iterator[Spec]:
    """The run, its teacher, its teacher's teacher and so on."""
    one: Spec | None = spec
    while one is not None:
        yield one
        one = one.teacher


def everyone(spec: Spec) -> list[Spec]:
    return [*chain(spec), *spec.mentors]


def size(spec: Spec) -> int:
    shape, classes = DATA[spec.data.name].model_validate(spec.data.knobs).signature()
    cost = cost_of(spec.student.name, spec.student.knobs, shape, classes)
    assert cost is not None
    return int(cost["parameters"])


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize(("kind", "count"), CASES)
def test_it_is_idempotent_sound_and_undone_by_rooted(kind: str, count: int, data: str) -> None:
    spec = asked(kind, count, data)
    root = rooted(spec)
    assert lineage(spec) == spec
    assert lineage(root) == spec
    assert root.teacher is not None
    assert root.teacher.teacher is None
    assert root.mentors == ()
    assert rooted(root) == root
    assert root.model_copy(update={"teacher": spec.teacher, "mentors": spec.mentors}) == spec
    check(spec)
    assert parse(spec.model_dump_json()) == spec


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_another_count_forgets_the_one_before(kind: str, count: int) -> None:
    spec = asked(kind, count)
    for other in COUNTS[kind]:
        method = Choice(name=spec.method.name, knobs=spec.method.knobs | {kind: other})
        assert lineage(spec.model_copy(update={"method": method})) == asked(kind, other)


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].lineage == "teacher"])
def test_a_method_of_one_teacher_is_left_as_it_is(method: str) -> None:
    spec = recommended("digits", method)
    assert lineage(spec) == rooted(spec) == spec
    assert spec.mentors == ()


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_generations_are_alike_but_for_seed_and_teacher(count: int, seed: int) -> None:
    spec = asked("generations", count, seed=seed)
    *born, root = chain(spec)
    assert [one.method.knobs["generations"] for one in born] == list(range(count, 0, -1))
    assert {one.student.model_dump_json() for one in (*born, root)} == {spec.student.model_dump_json()}
    assert root.method.name == "ce"
    assert spec.seed == seed
    assert len({one.seed for one in chain(spec)}) == count + 1


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_assistants_are_a_ladder_of_sizes(count: int, data: str) -> None:
    spec = asked("assistants", count, data)
    steps = [size(one) for one in chain(spec)]
    assert len(steps) == count + 2
    assert all(smaller < larger for smaller, larger in pairwise(steps))
    *_, last, root = chain(spec)
    assert root.method.name == "ce"
    assert last.method == spec.method


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_peers_learn_alone_and_lie_between_student_and_teacher(count: int, data: str) -> None:
    spec = asked("peers", count, data)
    sizes = [size(one) for one in spec.mentors]
    assert len(sizes) == count
    assert spec.teacher is not None
    assert sizes == sorted(sizes)
    assert sizes[0] == size(spec)
    assert sizes[-1] < size(spec.teacher)
    assert {one.method.name for one in spec.mentors} == {"ce"}
    assert len({one.seed for one in (spec, *spec.mentors)}) == count + 1


@pytest.mark.parametrize("count", [2, 3, 5])
def test_copies_differ_in_nothing_but_their_seed(count: int) -> None:
    spec = asked("copies", count)
    assert spec.teacher is not None
    teachers = [spec.teacher, *spec.mentors]
    assert len({one.seed for one in teachers}) == len(teachers) == count
    assert all(one.model_copy(update={"seed": spec.teacher.seed}) == spec.teacher for one in teachers)


@pytest.mark.parametrize(("kind", "count"), CASES)
def test_all_see_the_same_data(kind: str, count: int) -> None:
    spec = asked(kind, count)
    assert {one.data.model_dump_json() for one in everyone(spec)} == {spec.data.model_dump_json()}
    assert len({one.hash for one in everyone(spec)}) == len(everyone(spec))


def test_between_is_the_nearest_size_on_a_logarithmic_scale() -> None:
    spec = recommended("digits", "kd")
    assert spec.teacher is not None
    assert between(spec, 0.0) == spec.student
    assert between(spec, 1.0) == spec.teacher.student
    small, large = size(spec), size(spec.teacher)
    middle = size(spec.model_copy(update={"student": between(spec, 0.5)}))
    assert middle / small == pytest.approx(large / middle, rel=0.5)


WATCH = Watch(points=2, evaluations=1, frames=1, checkpoints=1)


def tiny(spec: Spec) -> Spec:
    """The run and all before it, cut to a few steps."""
    teacher = tiny(spec.teacher) if spec.teacher else None
    mentors = tuple(tiny(one) for one in spec.mentors)
    schedule = Schedule(steps=4, batch=16)
    return spec.model_copy(update={"teacher": teacher, "mentors": mentors, "schedule": schedule, "watch": WATCH})


@pytest.mark.parametrize(
    ("kind", "count", "runs"), [("generations", 2, 3), ("assistants", 1, 3), ("peers", 2, 4), ("copies", 3, 4)]
)
def test_a_worker_trains_all_that_comes_before(kind: str, count: int, runs: int, home: Path) -> None:
    spec = lineage(tiny(asked(kind, count, "moons")))
    store = Store(home)
    told = [*train_all(store, spec)]
    run = next(one for one in store.runs() if one.spec == spec)
    assert (run.state, run.message) == ("done", None)
    assert len(store.runs()) == runs
    assert {one.hash for one in store.runs()} == {one.hash for one in everyone(spec)}
    assert [store.get(one).hash for one in store.story(run.id)[0].mentor_runs] == [one.hash for one in spec.mentors]
    assert sum(isinstance(event, Finished) for event in told) == runs
    assert any(isinstance(event, Step) for event in told)
    store.close()


def train_all(store: Store, spec: Spec) -> list[object]:
    """Have a worker with the real engine do a run; all that it hears."""
    heard: list[object] = []
    claimed = store.claim(os.getpid(), store.submit(spec, "me").id)
    assert claimed is not None
    Worker(store, train, hear=lambda _, event: heard.append(event)).work(claimed)
    return heard


def test_a_steep_loss_is_recommended_a_lower_learning_rate() -> None:
    plain = recommended("digits", "kd").schedule
    for method, one in catalogue()["method"].items():
        assert recommended("digits", method).schedule == plain.model_copy(update={"lr": plain.lr * one["rate"]})
    assert catalogue()["method"]["sld"]["rate"] == 0.5, "as its paper's runs have it"
    assert recommended("moons").schedule.optimizer == "adam"
    assert recommended("moons", "sld").schedule == recommended("moons").schedule


def test_a_run_goes_on_with_more_of_a_slice() -> None:
    spec = recommended("digits", "dkd", seed=4)
    found = further(spec, [9, 3, 4, 5], steps=50)
    assert found.start == spec
    assert found.source == Choice(name="slice", knobs={"augment": "none", "share": 0.5, "rows": "3-5,9"})
    assert (found.schedule.steps, found.schedule.lr) == (50, pytest.approx(spec.schedule.lr / 10))
    assert (found.method, found.teacher, found.seed) == (spec.method, spec.teacher, 4)
    again = further(found, [1])
    assert again.start == found


def test_too_many_rows_are_thinned_evenly_and_none_is_refused() -> None:
    rows = row_ranges.read(str(further(recommended(), range(10_000)).source.knobs["rows"]))
    assert (len(rows), rows[0], rows[-1]) == (4096, 0, 9997)
    with pytest.raises(BadInput, match="No training row is in this slice"):
        further(recommended(), [])
    with pytest.raises(BadInput, match="source makes its images"):
        further(recommended("digits", "mekd"), [1])


@pytest.mark.parametrize(
    ("method", "knobs", "names"),
    [
        ("kd", {}, ["teacher"]),
        ("ban", {"generations": 3}, ["teacher", "generation 1", "generation 2"]),
        ("takd", {"assistants": 2}, ["teacher", "assistant 1", "assistant 2"]),
        ("classroom", {"peers": 2}, ["teacher", "mentor 1", "mentor 2"]),
        ("meal", {"copies": 3}, ["teacher", "teacher 2", "teacher 3"]),
    ],
)
def test_each_network_before_the_student_has_a_name(method: str, knobs: dict[str, Json], names: list[str]) -> None:
    spec = recommended("digits", method, method_knobs=knobs)
    called = forerunners(spec)
    chain = [spec]
    while chain[0].teacher:
        chain.insert(0, chain[0].teacher)
    assert [called[one.hash] for one in (*chain[:-1], *spec.mentors)] == names
    assert forerunners(further(spec, [1]))[spec.hash] == "starting network"
