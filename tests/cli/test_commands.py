"""What each command prints, where, and with which exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from app.cli import main
from kdcore.blackbox import orders
from kdcore.blackbox.orders import Order
from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Cost, Finished, Meter, Started
from kdcore.jobs.store import Store
from kdcore.spec.catalogue import catalogue
from kdcore.spec.lineage import recommended
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

pytestmark = pytest.mark.usefixtures("lab")
Read = pytest.CaptureFixture[str]
RESULT = {"student_accuracy": 0.75, "teacher_accuracy": 0.875, "agreement": 0.5}


@pytest.fixture
def done(lab: Path) -> str:
    """The id of a finished run whose seed and width are not the recommended ones."""
    return ended(lab, recommended("moons", seed=5))


def ended(lab: Path, spec: Spec, meter: Meter | None = None) -> str:
    """The id of a run that did 2,000 steps."""
    store = Store(lab)
    run = store.submit(spec, "somebody")
    cost = Cost(parameters=1, multiply_adds=1, size_bytes=4)
    rows = {"train": 2, "val": 2, "test": 2}
    first = Started(
        step=0, steps=2000, device="cpu", torch="none", classes=("a", "b"), rows=rows, student=cost, teacher=None
    )
    store.claim(1, run.id)
    store.append(run.id, [first, Finished(step=2000, result=RESULT, meter=meter)])
    store.close()
    return run.id


def test_help_loads_neither_torch_nor_streamlit() -> None:
    code = (
        "import sys\nfrom app.cli import main\n"
        "assert main(['--help']) == 0\n"
        "assert not {'torch', 'streamlit', 'sqlalchemy', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("app", "run", "runs", "show", "export", "worker", "methods", "data"))


def test_no_words_show_the_help(capsys: Read) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    assert "Usage: " in told.out
    assert told.err == ""


@pytest.mark.parametrize(
    ("command", "kind"), [("methods", "method"), ("models", "model"), ("data", "data"), ("teachers", "teacher")]
)
def test_what_exists(capsys: Read, command: str, kind: str) -> None:
    assert main([command]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]}
    assert listed == set(catalogue()[kind])
    assert main([command, "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == sorted(catalogue()[kind])


def test_one_thing_with_its_knobs(capsys: Read) -> None:
    assert main(["methods", "kd"]) == 0
    told = capsys.readouterr().out
    assert "Source: Hinton" in told
    assert re.search(r"temperature +4\.0 +≥ 0\.1, ≤ 100 ", told)
    assert main(["models", "resnet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "resnet"


def test_a_method_in_full(capsys: Read) -> None:
    assert main(["methods", "dkd"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Decoupled KD (Logits)")
    for words in (
        "Equation: L = ",
        "Paper: Zhao",
        "Differences from the paper: ",
        "The loss is zero when: ",
        "Requires from the teacher: ",
    ):
        assert f"\n{words}" in told
    assert "Trains first" not in told


def test_every_method_as_json_has_all_that_is_known_of_it(capsys: Read) -> None:
    assert main(["methods", "--json"]) == 0
    known = {"name", "title", "family", "paper", "needs", "asks", "lineage", "fixed", "equation", "departs", "knobs"}
    for one in json.loads(capsys.readouterr().out):
        assert known <= one.keys()
        for knob in one["knobs"]:
            assert {"name", "type", "default", "description"} <= knob.keys()
            assert (
                knob["type"] in ("boolean", "string")
                or "options" in knob
                or "minimum" in knob
                or "exclusiveMinimum" in knob
            )
    assert main(["methods", "kd", "--json"]) == 0
    (temperature,) = (knob for knob in json.loads(capsys.readouterr().out)["knobs"] if knob["name"] == "temperature")
    assert temperature == {
        "name": "temperature", "type": "number", "default": 4.0, "minimum": 0.1, "maximum": 100.0,
        "description": temperature["description"], "symbol": "T",
    }  # fmt: skip


def test_an_unknown_thing(capsys: Read) -> None:
    assert main(["methods", "dkdd"]) == 2
    assert capsys.readouterr().err.startswith("There is no method named 'dkdd'. Did you mean 'dkd'?")


def test_no_runs_yet(capsys: Read) -> None:
    assert main(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_list_of_runs(done: str, capsys: Read) -> None:
    assert main(["runs"]) == 0
    assert re.search(rf"{done} +done +2000/2000 +0\.750 +0\.875 ", capsys.readouterr().out)
    assert main(["runs", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["id"], told["state"], told["result"]) == (done, "done", RESULT)
    assert "somebody" not in json.dumps(told)


def test_one_run(done: str, capsys: Read) -> None:
    assert main(["show", done]) == 0
    told = capsys.readouterr().out
    assert "12.5 points below its teacher" in told
    assert re.search(r"^seed +0 +5", told, re.MULTILINE)
    assert main(["show", done, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["differences"] == {"seed": [0, 5]}
    assert Spec.model_validate(told["spec"]) == recommended("moons", seed=5)


def test_local_images_are_those_to_learn_from_and_real_ones_all_that_left(lab: Path, capsys: Read) -> None:
    service = Choice(name="http", knobs={"model": "m"})
    meter = Meter(images=387, local=387, looked=502, looked_real=490)
    run = ended(lab, orders.spec(Order(preset="kd", local=True, service=service, measure="real")), meter)
    assert main(["show", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["meter"]
    assert (told["local"], told["looked_real"], told["real"], told["measuring"]) == (387, 490, 877, 502)
    assert told.items() >= meter.model_dump().items(), "what the last event says has the same names here"
    assert main(["show", run]) == 0
    assert re.search(r"^local or held-out ones +877", capsys.readouterr().out, re.MULTILINE)


def test_a_run_of_before_is_read_with_its_own_names() -> None:
    assert Meter.model_validate({"looked": 5, "looked_local": 4}) == Meter(looked=5, looked_real=4)


def test_a_run_that_failed_at_its_start_is_as_long_as_its_form_said(lab: Path, capsys: Read) -> None:
    store = Store(lab)
    run = store.submit(orders.spec(Order()), "somebody")
    store.claim(1, run.id)
    store.move(run.id, "failed", message="It was refused.")
    assert main(["show", run.id]) == 0
    assert "failed at step 0 of 2,000" in capsys.readouterr().out, "1,200 of the generator and 800 of the student"


def test_a_run_as_recommended_and_one_without_a_teacher(capsys: Read) -> None:
    plain = Spec(student=Choice(name="mlp"), method=Choice(name="ce"), schedule=Schedule(steps=7))
    runs = [Store().submit(spec, "somebody") for spec in (recommended(), plain)]
    assert [main(["show", run.id]) for run in runs] == [0, 0]
    told = capsys.readouterr().out
    assert "Every setting is as the data set recommends." in told
    assert re.search(r"^schedule.steps +1500 +7", told, re.MULTILINE)


def test_only_a_finished_run_is_served_and_not_as_a_white_box(done: str, capsys: Read) -> None:
    assert main(["serve", done]) == 2
    assert "only a finished run with its weights" in capsys.readouterr().err
    assert main(["serve", done, "--access", "white_box"]) == 2
    assert "logits, probabilities or labels, but got 'white_box'" in capsys.readouterr().err


def test_an_uploaded_file_is_named(lab: Path, capsys: Read) -> None:
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, lab / "model.safetensors")
    assert main(["upload", str(lab / "model.safetensors")]) == 0
    name = capsys.readouterr().out.strip()
    assert (lab / "uploads" / name).read_bytes() == (lab / "model.safetensors").read_bytes()
    (lab / "model.onnx").write_bytes(b"\x08\x09 model")
    assert main(["upload", str(lab / "model.onnx")]) == 2
    assert "no ONNX model, or is cut off" in capsys.readouterr().err
    assert [path.name for path in (lab / "uploads").iterdir()] == [name]
    (lab / "model.pt").write_bytes(b"PK\x03\x04 archive")
    assert main(["upload", str(lab / "model.pt")]) == 2
    assert "looks like a pickle or a zip" in capsys.readouterr().err


def test_a_record_is_brought_into_another_lab(
    done: str, tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", done, str(tmp_path / "record")]) == 0
    safetensors.numpy.save_file({"w": np.ones(2, np.float32)}, tmp_path / "record" / "student.safetensors")
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "other"))
    capsys.readouterr()
    for _ in range(2):
        assert main(["import", str(tmp_path / "record")]) == 0
        assert capsys.readouterr().out == f"{done}\n"
    assert main(["show", done]) == 0
    capsys.readouterr()
    for place, sentence in (("nowhere", "There is nothing at"), ("other", "holds no readable recorded run")):
        assert main(["import", str(tmp_path / place)]) == 2
        assert sentence in capsys.readouterr().err


def test_export_and_its_refusals(done: str, tmp_path: Path, capsys: Read) -> None:
    target = tmp_path / "record"
    assert main(["export", done, str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    assert json.loads((target / "run.json").read_text())["result"] == RESULT
    assert main(["export", done, str(target)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "nobody"], "There is no run named 'nobody'"),
        (["run", "--data", "moon"], "Did you mean 'moons'?"),
        (["run", "--data", "image_folder:path=/none/such"], "'/none/such'"),
        (["run", "--spec", "/none/such.json"], "cannot be read"),
        (["frob"], "No such command 'frob'. See `kdlab --help`."),
        (["run", "--frob"], "No such option: --frob"),
        (["export", "only-one"], "Missing argument 'DEST'."),
        (["app", "--port", "70000"], "'--port'"),
        (["app", "--slots", "0"], "'--slots'"),
        (["serve", "nobody"], "There is no run named 'nobody'"),
        (["upload", "/none/such.onnx"], "cannot be read"),
        (["resume", "nobody"], "There is no run named 'nobody'"),
        (["export", "nobody", "x.onnx"], "or its student to a .safetensors file with --temperature, but got 'x.onnx'"),
        (["export", "nobody", "x.safetensors"], "add --temperature auto"),
        (["export", "nobody", "x", "--temperature", "1"], "is written as a .safetensors file, but got 'x'"),
        (["export", "nobody", "lr-0.5"], "There is no run named 'nobody'"),
        (["teachers", "htp"], "Did you mean 'http'?"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(capsys: Read, words: list[str], sentence: str) -> None:
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["show", "\udcff"], ["run", "--data", "\udcff"], ["export", "a", "\udcff"]])
def test_words_that_are_not_utf8_are_one_sentence(words: list[str], capsys: Read) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "Traceback" not in said


def test_a_long_value_is_quoted_in_part(capsys: Read) -> None:
    assert main(["run", "--data", "digits", "--set", f"schedule.lr={'9' * 4000}"]) == 2
    assert len(capsys.readouterr().err) < 300
    assert main(["run", "--data", "d" * 100_000]) == 2
    assert "There is no data set named 'ddd" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs"], ["methods"], ["methods", "kd", "--json"], ["data"]])
def test_a_reader_that_leaves_ends_a_command_quietly(words: list[str]) -> None:
    line = [sys.executable, "-m", "app.cli", *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_an_output_that_is_full_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", "methods"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert (
        done.stderr == "The output cannot be written (No space left on device); free space or choose another place.\n"
    )


@pytest.mark.parametrize("words", [["runs"], ["run", "--data", "moons"], ["show", "x"]])
def test_a_home_that_is_a_file_is_one_sentence(
    words: list[str], tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "file"))
    assert main(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    sentence = told.err.splitlines()[-1]
    assert str(tmp_path / "file") in sentence
    assert "cannot be" in sentence


def test_runs_of_a_process_that_is_gone_are_listed_as_interrupted(lab: Path, capsys: Read) -> None:
    store = Store(lab)
    run = store.submit(recommended("moons"), "terminal")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store.claim(gone.pid, run.id)
    assert main(["runs"]) == 0
    assert re.search(rf"{run.id} +interrupted", capsys.readouterr().out)


def test_a_paused_run_is_paused(lab: Path, capsys: Read) -> None:
    store = Store(lab)
    run = store.submit(recommended("moons"), "terminal")
    store.claim(os.getpid(), run.id)
    store.command(run.id, Command("pause"), "terminal")
    assert main(["runs"]) == 0
    assert re.search(rf"{run.id} +paused", capsys.readouterr().out)
    assert main(["show", run.id]) == 0
    told = capsys.readouterr().out
    assert "The run is paused." in told
    assert re.search(r"state +paused", told)
    store.command(run.id, Command("resume"), "terminal")
    assert main(["show", run.id]) == 0
    assert "The run is under way." in capsys.readouterr().out


def test_a_damaged_store(lab: Path, capsys: Read) -> None:
    (lab / "runs.db").write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    assert main(["runs"]) == 2
    told = capsys.readouterr().err
    assert str(lab / "runs.db") in told
    assert len(told.splitlines()) == 1


def test_a_student_is_exported_at_a_temperature_by_a_process_of_its_own(
    done: str, tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []

    def become(_: str, words: list[str]) -> None:
        told.append(words)
        raise BadInput("here the process is another")

    monkeypatch.setattr(os, "execv", become)
    weights = Store().get(done).weights
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_text("weights")
    out = tmp_path / "student.safetensors"
    assert main(["export", done, str(out), "--temperature", "1.5"]) == 2
    assert told[0][1:3] == ["-m", "kdcore.comparison.export_temperature"]
    assert told[0][-1] == "1.5"
    assert str(out) in told[0]
    assert main(["export", done, str(out), "--temperature", "warm"]) == 2
    assert "is a number or 'auto', but got 'warm'" in capsys.readouterr().err
    out.write_text("there")
    assert main(["export", done, str(out), "--temperature", "auto"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert len(told) == 1
