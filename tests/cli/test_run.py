"""`kdlab run`: the same story live and stored, teachers reused, every way to end."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.cli import main
from app.cli.arguments import wanted
from app.cli.commands import run
from kdcore.blackbox import orders
from kdcore.blackbox.orders import Order
from kdcore.events import EVENT, Cost, Finished, Started
from kdcore.jobs.rows import TERMINAL
from kdcore.jobs.store import Store
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

Kdlab = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("run", "--data", "moons:samples=100", "--steps", "20", "--set", "teacher.schedule.steps=20")
CLAIMED_BY_ANOTHER = """  # a `kdlab` that finds the run it has begun claimed already
import sys
from app.cli import main
from kdcore.jobs.store import Store
claim = Store.claim
Store.claim = lambda store, pid, run_id=None: claim(store, pid, run_id) and print("claimed", flush=True)
sys.exit(main(sys.argv[1:]))
"""
TOY = ("run", "--data", "moons", "--method", "ce", "--teacher", "none", "--steps", "5", "--set", "schedule.momentum=0")


def test_a_run_tells_one_story(kdlab: Kdlab, lab: Path) -> None:
    """Live, told again, and done again: the same lines; the teacher is trained once."""
    first = kdlab(*SMALL, "--json")
    assert first.returncode == 0, first.stderr
    events = [EVENT.validate_json(line) for line in first.stdout.splitlines()]
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert set(json.loads(first.stdout.splitlines()[-1])["result"]) >= {"student_accuracy", "teacher_accuracy"}
    again = kdlab(*SMALL, "--json")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert "did this" in again.stderr
    assert "--fresh" in again.stderr
    fresh = kdlab(*SMALL, "--json", "--fresh")
    assert (fresh.returncode, fresh.stdout, fresh.stderr) == (0, first.stdout, "")
    runs = Store(lab).runs()
    assert [run.state for run in runs] == ["done"] * 3
    assert sum(run.label == "Teacher" for run in runs) == 1


@pytest.mark.usefixtures("toy_engine")
def test_for_people(kdlab: Kdlab) -> None:
    done = kdlab(*TOY)
    assert done.returncode == 0, done.stderr
    assert "The network is correct on 75.0 % of the test set." in done.stdout
    assert done.stderr == ""  # no bar where nobody looks


@pytest.mark.usefixtures("toy_engine")
def test_probes_that_rounding_hides_are_told_beside_the_run(kdlab: Kdlab) -> None:
    words = ("run", "--preset", "zo_inversion:upload=uint8", "--steps", "5", "--set", "teacher.schedule.steps=5")
    done = kdlab(*words)
    assert done.returncode == 0, done.stderr
    assert "set its reach to 0.04 or more" in done.stderr
    assert "lost in rounding" not in done.stdout
    loud = kdlab(*words, "--set", "source.reach=0.04")
    assert (loud.returncode, loud.stderr) == (0, "")


@pytest.mark.usefixtures("toy_engine")
def test_a_remote_teacher_has_its_price_named_before(kdlab: Kdlab) -> None:
    """Of what is learned from and of what is measured; and what the budget leaves for that."""
    words = ("run", "--preset", "paper:pool=300,budget=900,price=2.5", "--seed", "14", "--teacher", "none")
    service = ("--set", "service=http:url=http://127.0.0.1:9,model=m", "--set", "wall.measure=real")
    said = kdlab(*words, *service).stderr
    assert "At most 900 queries; cost $2.25 ($2.50 per 1,000); 230 kB of images." in said
    assert "leaves at most 600 for measuring" in said


FAR = ("--teacher", "none", "--access", "probabilities", "--set", "service=http:url=http://127.0.0.1:9,model=m,retries=0",
       "--set", "wall.budget=300", "--steps", "60")  # fmt: skip


def test_local_images_are_sent_to_a_remote_teacher_only_by_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old command sent all of them, and said so afterwards."""
    asked: list[Spec] = []
    monkeypatch.setattr(run, "distil", lambda spec, **_: asked.append(spec) or 0)
    assert main(["run", "--data", "digits", *FAR]) == 2
    assert capsys.readouterr().err == (
        "This sends local (real) images to the server at http://127.0.0.1:9 to learn from; add --send-local to allow "
        "that.\n"
    )
    assert main(["run", "--preset", "quick", *FAR, "--set", "source=data"]) == 2
    assert asked == []
    assert main(["run", "--data", "digits", *FAR, "--send-local"]) == 0
    (tmp_path / "run.json").write_text(asked[0].model_dump_json())
    assert main(["run", "--spec", str(tmp_path / "run.json")]) == 2
    assert main(["run", "--preset", "kd:local=true", *FAR]) == 0
    assert main(["run", "--preset", "quick", *FAR]) == 0, "it sends none"
    (price,) = run._promised(asked[0])
    assert price.endswith("76.8 kB of images. Up to 300 of them are local (real) images.")


@pytest.mark.usefixtures("toy_engine")
def test_a_spec_from_stdin(kdlab: Kdlab, lab: Path) -> None:
    done = kdlab(*TOY, "--seed", "3", "--json")
    run = Store(lab).runs()[0]
    again = kdlab("run", "--spec", "-", "--json", input=run.spec.model_dump_json())
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert [one.id for one in Store(lab).runs()] == [run.id]


@pytest.mark.usefixtures("toy_engine")
def test_a_run_that_breaks(kdlab: Kdlab, lab: Path) -> None:
    done = kdlab(*TOY, "--seed", "13")
    run = Store(lab).runs()[0]
    assert (done.returncode, run.state) == (1, "failed")
    more = f"kdlab show {run.id} tells more, kdlab resume {run.id} goes on."
    assert done.stderr == f"The run failed. RuntimeError: the toy is broken. {more}\n"
    assert "Traceback" in kdlab("show", run.id).stdout


@pytest.mark.usefixtures("toy_engine")
@pytest.mark.parametrize(("seed", "step"), [("14", 0), ("15", 2)])
def test_a_server_that_fails_is_no_wrong_input(kdlab: Kdlab, lab: Path, seed: str, step: int) -> None:
    """Also where a person can mend it: wrong input is refused before there is a run."""
    done = kdlab(*TOY, "--seed", seed)
    run = Store(lab).runs()[0]
    assert (done.returncode, run.state, run.step) == (1, "failed", step)
    assert "without success" in done.stderr
    refused = kdlab(*TOY, "--seed", "-1")
    assert (refused.returncode, len(Store(lab).runs())) == (2, 1)


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    """A command whose first line has come."""
    line = [sys.executable, "-m", "app.cli", *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline()
    return process


@pytest.mark.usefixtures("toy_engine")
class TestStopping:
    """A slow toy that would take ten minutes."""

    words = (*TOY[:-1], "schedule.momentum=0.5", "--steps", "12000", "--json")

    def test_ctrl_c_stops_it_between_two_steps(self, lab: Path) -> None:
        with started(self.words) as process:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        run = Store(lab).runs()[0]
        assert (run.state, run.message) == ("cancelled", "Stopped.")

    def test_ctrl_c_stops_it_though_its_teacher_never_answers(self, lab: Path) -> None:
        service = Choice(name="http", knobs={"url": "http://127.0.0.1:9", "model": "mute"})
        (lab / "spec.json").write_text(orders.spec(Order(service=service)).model_dump_json())
        with started(("run", "--spec", str(lab / "spec.json"), "--json")) as process:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130
        (run,) = Store(lab).runs()
        assert (run.state, run.message) == ("cancelled", "Stopped while its teacher owed an answer.")
        assert said.endswith(f"kdlab resume {run.id} goes on.\n")

    def test_sigterm_stops_what_a_worker_of_the_lab_does_for_it(self, lab: Path) -> None:
        """The command only follows such a run, so its own end would leave it going, and paying."""
        store = Store(lab)
        line = [sys.executable, "-c", CLAIMED_BY_ANOTHER, *self.words]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "claimed\n"
            (claimed,) = store.runs(states={"running"})
            facts = {"steps": 5, "device": "cpu", "torch": "2", "classes": ("a", "b"), "rows": {}}
            cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
            store.append(claimed.id, [Started(step=0, student=cost, teacher=None, **facts)])
            assert process.stdout.readline()  # it follows
            process.send_signal(signal.SIGTERM)
            while store.get(claimed.id).cancel_at is None and process.poll() is None:
                time.sleep(0.01)
            assert store.get(claimed.id).cancel_at is not None
            store.move(claimed.id, "cancelled", attempt=claimed.attempt)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.endswith(f"kdlab resume {claimed.id} goes on.\n")

    def test_a_listener_that_leaves_stops_it(self, lab: Path) -> None:
        with started(self.words) as process:
            assert process.stdout
            process.stdout.close()
            assert process.wait(60) == 1
        assert Store(lab).runs()[0].state == "cancelled"

    def test_the_same_wish_follows_the_run_under_way(self, lab: Path) -> None:
        with started(self.words) as process, started(self.words) as second:
            second.send_signal(signal.SIGINT)
            assert second.wait(60) == 130
            (run,) = Store(lab).runs()
            assert run.state == "running"
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        assert Store(lab).get(run.id).state == "cancelled"

    def test_a_run_whose_process_was_killed_goes_on_with_resume(self, kdlab: Kdlab, lab: Path) -> None:
        """At once: that the process is gone is seen without waiting for its lease."""
        with started(self.words) as process:
            process.kill()
        store = Store(lab)
        (run,) = store.runs()
        seen = kdlab("show", run.id)
        assert "interrupted" in seen.stdout
        with started(("resume", run.id, "--json")) as second:
            refused = kdlab("resume", run.id)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "is running, but only runs that are" in refused.stderr
            second.send_signal(signal.SIGTERM)
            _, said = second.communicate(timeout=60)
            assert second.returncode == 1
        assert f"kdlab resume {run.id} goes on" in said
        ended = store.get(run.id)
        assert (ended.state, ended.attempt, len(store.runs())) == ("lost", 2, 1)

    def test_a_run_whose_process_was_killed_before_it_began_is_begun_by_resume(self, kdlab: Kdlab, lab: Path) -> None:
        store = Store(lab)
        asked = wanted(None, {"data": "moons", "method": "ce", "teacher": "none", "schedule.steps": "5"}, ())
        run = store.submit(asked, TERMINAL)  # all that the command has done by then
        done = kdlab("resume", run.id)
        assert (done.returncode, done.stderr) == (0, "")
        assert (store.get(run.id).state, len(store.runs())) == ("done", 1)

    def test_resume_tells_what_is_new_and_ends_as_run_does(self, kdlab: Kdlab, lab: Path) -> None:
        with started(self.words) as process:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 130
        store = Store(lab)
        (run,) = store.runs()
        assert said.endswith(f"kdlab resume {run.id} goes on.\n")
        store.note(
            run.id, spec=run.spec.model_copy(update={"schedule": Schedule(steps=5, momentum=0)}).model_dump_json()
        )
        again = kdlab("resume", run.id, "--json")
        assert again.returncode == 0, again.stderr
        events = [EVENT.validate_json(line) for line in again.stdout.splitlines()]
        assert [event.step for event in events] == [0, 1, 2, 3, 4, 5, 5]
        over = kdlab("resume", run.id)
        assert (over.returncode, over.stdout) == (2, "")
        assert (
            over.stderr
            == f"Run {run.id} is done, but only runs that are failed, stopped or interrupted can be resumed.\n"
        )

    def test_the_same_settings_again_name_the_run_that_broke_off(self, kdlab: Kdlab, lab: Path) -> None:
        with started(self.words) as process:
            process.kill()
        (run,) = Store(lab).runs()
        words = ("run", "--data", "moons", "--steps", "5", "--set", "teacher.schedule.steps=1")
        asked = wanted(None, {"data": "moons", "schedule.steps": "5"}, words[-1:])
        Store(lab).note(run.id, step=7, hash=asked.hash)
        done = kdlab(*words)
        assert done.returncode == 0
        assert f"Run {run.id} has these settings and broke off at step 7; kdlab resume {run.id} goes on" in done.stderr

    def test_a_run_whose_process_was_killed_is_lost_and_done_anew(self, kdlab: Kdlab, lab: Path) -> None:
        with started(self.words) as process:
            process.kill()
        store = Store(lab)
        store.expire(now=store.runs()[0].lease_until + 1)
        assert store.runs()[0].state == "lost"
        assert kdlab(*TOY).returncode == 0
