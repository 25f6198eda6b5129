"""`make gpu` run small on the CPU, without what the Lab needs besides; and that each of its checks can fail."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.text.phrases import outcome
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.device import Listener, chance_of, give_back, go_on, onto
from kdcore.engine import build, cuda_graph, frames, setup
from kdcore.events import Finished
from kdcore.nn.losses import kd_loss
from kdcore.spec.registry import METHODS
from tests.gpu import bits, captured, memory, steps, syncs
from tests.gpu.lines import Clock, Line, within
from tests.gpu.place import Place, pixels_for_digits
from tests.gpu.run import main

ROOT = Path(__file__).parents[1]
ABSENT = (  # on a machine that has torch, torchvision, numpy, pydantic and safetensors
    "streamlit", "plotly", "sqlalchemy", "sklearn", "scipy", "umap", "onnx", "onnxruntime", "captum", "yaml", "typer",
    "threadpoolctl", "uvicorn", "starlette", "websockets", "torchdistill", "torchmetrics", "pytest",
)  # fmt: skip
FEW = ("kd", "dhkd", "taid")  # one that is captured, one that drops out units, one that remembers and follows progress


def test_the_script_runs_small_without_what_the_lab_needs_besides(tmp_path: Path) -> None:
    """Every kind of check, in a process in which the other packages cannot be imported."""
    kinds = ["steps", "bits", "syncs", "captured", "memory", "preset"]  # CI runs all of them, for all methods
    words = ["--device", "cpu", "--small", "--only", *kinds, "--methods", *FEW, "--out", str(tmp_path / "gpu.json")]
    code = (
        "import sys, runpy\n"
        f"sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
        f"sys.argv = ['run.py', *{words!r}]\n"
        f"sys.path.insert(0, {str(ROOT / 'tests' / 'gpu')!r})\n"
        f"runpy.run_path({str(ROOT / 'tests' / 'gpu' / 'run.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [Line(**line) for line in json.loads((tmp_path / "gpu.json").read_text())["lines"]]
    assert [str(line) for line in lines] == [*done.stdout.splitlines()[1:-1]]
    held = {line.what for line in lines if line.status == "held"}
    for name in FEW:
        told = (f"step of {name} against float64", f"same bits of {name}", f"captured step of {name}")
        assert held >= {*told, f"waits of the host in a step of {name}"}
    assert held >= {"same bits of a captured run", "memory after a cancel", "memory after an error", "the quick preset"}
    assert {line.status for line in lines} == {"held", "skipped"}
    assert all("wants CUDA" in line.figure for line in lines if line.status == "skipped")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Where small runs live."""
    with pixels_for_digits():
        yield Place(tmp_path, "cpu")


KD: Any = METHODS["kd"]
Replace = Callable[[type[Method]], None]


@pytest.fixture
def as_kd(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Put a method of the test's own in the place of "kd"."""

    def replace(method: type[Method]) -> None:
        for module in (build, setup):
            monkeypatch.setattr(module, "METHODS", {**METHODS, "kd": method})

    return replace


class Faulty(KD):  # type: ignore[misc]
    """Plain distillation with a summand of a test's own."""

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        found: dict[str, Term] = super().terms(batch, state)
        return found | {"fault": Term(1.0, self.fault(batch.student.logits))}

    def fault(self, logits: Tensor) -> Tensor:
        raise NotImplementedError


def faulty(fault: Callable[[Tensor], Tensor]) -> type[Method]:
    return type("KD", (Faulty,), {"fault": lambda _, logits: fault(logits)})


def test_a_step_that_gives_other_numbers_on_the_device_is_seen(place: Place, as_kd: Replace) -> None:
    assert steps.step_of(place, "kd").status == "held"
    as_kd(faulty(lambda logits: (0.0 if logits.dtype == torch.float64 else 0.01) * logits.square().mean()))
    assert steps.step_of(place, "kd").status == "FAILED"


def test_a_step_without_a_gradient_compares_nothing(place: Place, as_kd: Replace) -> None:
    class Still(KD):  # type: ignore[misc]
        def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
            return {"still": Term(1.0, 0.0 * kd_loss(batch.student.logits, batch.student.logits, 1.0))}

    as_kd(Still)
    assert "zero" in steps.step_of(place, "kd").figure


def test_a_look_that_draws_from_the_runs_chance_is_seen(
    place: Place, as_kd: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that draws both in its step and where it is looked at, first guarded, then not."""

    class Drawing(KD):  # type: ignore[misc]
        def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
            drawn = torch.rand_like(batch.student.logits)
            return {"drawn": Term(1.0, kd_loss(batch.student.logits, drawn, 1.0))}

    as_kd(Drawing)
    assert bits.same_bits(place, "drawing", place.spec()).status == "held"
    monkeypatch.setattr(frames, "apart", lambda _: nullcontext())
    line = bits.same_bits(place, "drawing unguarded", place.spec())
    assert line.status == "FAILED"
    assert "watched" in line.figure


def test_chance_that_a_checkpoint_forgets_is_seen(
    place: Place, as_kd: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_kd(faulty(lambda logits: (logits * torch.rand_like(logits)).mean()))
    monkeypatch.setattr(setup, "apart", lambda _: nullcontext())
    monkeypatch.setattr("kdcore.engine.checkpoint.go_on", lambda *_: None)
    line = bits.same_bits(place, "forgetful", place.spec())
    assert line.status == "FAILED"
    assert "resumed" in line.figure
    assert "again" not in line.figure


def test_a_run_that_is_another_each_time_holds_only_where_it_says_why(
    place: Place, as_kd: Replace, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(10_000))
    as_kd(faulty(lambda logits: 1e-3 * next(count) * logits.mean()))
    assert bits.same_bits(place, "drifting", place.spec()).status == "FAILED"
    hear = Listener.__call__

    def heard(self: Listener) -> Any:
        self.heard.add("some_backward_cuda")
        return hear(self)

    monkeypatch.setattr(Listener, "__call__", heard)
    line = bits.same_bits(place, "drifting aloud", place.spec())
    assert line.status == "held"
    assert "some_backward_cuda" in line.figure


@pytest.mark.parametrize(
    "fault",
    [
        lambda logits: logits.mean() * logits.mean().item(),
        lambda logits: logits[logits > 0].sum(),
        lambda logits: logits.mean() if logits.mean() > 0 else logits.sum(),
        lambda logits: (logits * torch.rand(logits.shape).to(logits.device)).mean(),
        lambda logits: (logits * torch.tensor(2.0, device=logits.device)).mean(),
        lambda logits: (logits * torch.ones(logits.shape)).mean(),
    ],
    ids=["item", "mask", "branch", "copy", "tensor", "left on the host"],
)
def test_a_step_in_which_the_host_waits_is_seen(
    fault: Callable[[Tensor], Tensor], place: Place, as_kd: Replace
) -> None:
    clock = Clock(600.0)
    assert [line.status for line in syncs.lines(place, clock, ["kd"])] == ["held", "skipped"]
    as_kd(faulty(fault))
    assert [line.status for line in syncs.lines(place, clock, ["kd"])] == ["FAILED", "skipped"]


def test_what_is_moved_onto_the_device_by_the_one_way_is_no_wait(place: Place, as_kd: Replace) -> None:
    as_kd(faulty(lambda logits: (logits * onto(torch.rand(logits.shape), logits.device)).mean()))
    assert [line.status for line in syncs.lines(place, Clock(600.0), ["kd"])] == ["held", "skipped"]


def test_a_captured_step_that_python_changes_is_seen(place: Place, as_kd: Replace) -> None:
    count = iter(range(10_000))
    assert captured.captured(place, "kd", place.spec()).figure.startswith("the bits of a plain one, 4 times")
    as_kd(faulty(lambda logits: (next(count) % 100) * logits.mean()))
    assert captured.captured(place, "counting", place.spec()).status == "FAILED"


def test_a_memory_that_is_replaced_instead_of_written_to_is_seen(place: Place, as_kd: Replace) -> None:
    class Memory(nn.Module):
        last: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("last", torch.zeros(()))

    class Replacing(KD):  # type: ignore[misc]
        def connect(self, pair: Pair) -> nn.Module:
            return Memory()

        def after_step(self, batch: Batch, state: nn.Module | None) -> None:
            assert isinstance(state, Memory)
            state.last = state.last + batch.student.logits.mean()

    as_kd(Replacing)
    assert captured.captured(place, "replacing", place.spec()).status == "FAILED"


def test_a_run_whose_captured_steps_repeat_a_number_of_python_is_seen(place: Place, as_kd: Replace) -> None:
    class Count(nn.Module):
        done = 0

    class Counting(KD):  # type: ignore[misc]
        def connect(self, pair: Pair) -> nn.Module:
            return Count()

        def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
            assert isinstance(state, Count)
            state.done += 1
            return {"kd": Term(0.1 * state.done, super().terms(batch, state)["kd"].value)}

    assert captured.whole(place, "kd").status == "held"
    as_kd(Counting)
    line = captured.whole(place, "counting")
    assert line.status == "FAILED"
    assert "differs from one whose steps are plain" in line.figure


@pytest.mark.parametrize(
    ("method", "reason"),
    [("taid", "progress"), ("hard_aug", "host's chance"), ("mixkd", "the host draws"), ("tgeo", "the host draws")],
)
def test_steps_that_a_graph_would_freeze_stay_plain(method: str, reason: str, place: Place) -> None:
    line = captured.captured(place, method, place.spec(method))
    assert line.status == "held"
    assert reason in line.figure


def test_a_capture_that_cuda_refuses_leaves_the_step_plain(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(captured.Tape, "record", refuse)
    line = captured.captured(place, "kd", place.spec())
    assert line.status == "held"
    assert "not permitted" in line.figure


def test_a_change_of_settings_begins_the_capture_anew(place: Place) -> None:
    spec, found = place.spec(), []
    for recorder in (None, captured.Tape()):
        run = place.parts(spec)
        run.rule.felt = torch.zeros(())
        stepper, rows = cuda_graph.Stepper(run, recorder), run.indices(0)
        for step in range(2 * cuda_graph.WARM + 4):
            if step == cuda_graph.WARM + 2:
                run.set("method.temperature", 9.0)
            stepper.step(next(rows), step, rate=0.05)
        found.append(dict(run.modules.state_dict()))
    plain, repeated = found
    assert stepper.again is not None
    assert all(torch.equal(plain[name], repeated[name]) for name in plain)


def test_a_run_that_is_held_after_its_end_is_seen(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.returned(place, "an error").status == "held"
    kept, begin = [], setup.Setup._load

    def load(self: setup.Setup, *given: Any) -> None:
        kept.append(self)
        begin(self, *given)

    monkeypatch.setattr(setup.Setup, "_load", load)
    line = memory.returned(place, "an error")
    assert line.status == "FAILED"
    assert line.figure.startswith("1 runs")


def test_what_is_out_of_time_is_skipped_and_what_breaks_has_failed() -> None:
    def broken(_: str) -> Line:
        raise ValueError("broken")

    clock = Clock(600.0)
    assert [str(line) for line in clock.each("look at", ["it"], broken)] == ["FAILED  look at it: ValueError: broken"]
    clock.begin(0.0)
    assert [line.status for line in clock.each("look at", ["it"], broken)] == ["skipped"]


def test_without_time_everything_is_skipped_and_nothing_has_held(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--device", "cpu", "--small", "--limit-s", "0", "--methods", "kd", "--out", str(tmp_path / "gpu.json")]
    assert main(words) == 0
    told = capsys.readouterr().out.splitlines()[1:-1]
    assert len(told) > 10
    assert all(line.startswith("skipped") for line in told)


def test_a_machine_without_a_gpu_is_told_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main([]) == 2
    assert "--device cpu --small" in capsys.readouterr().out


def test_a_figure_that_is_no_number_does_not_hold() -> None:
    assert [within("it", {"gap": gap}, {"gap": 1.0}).status for gap in (0.5, 1.5, float("nan"))] == [
        "held", "FAILED", "FAILED",
    ]  # fmt: skip


def test_operations_without_a_form_of_the_same_bits_are_told_once(recwarn: pytest.WarningsRecorder) -> None:
    listening = Listener(torch.device("cuda"))
    lacking = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_..."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            with listening():
                warnings.warn(lacking, stacklevel=1)
                warnings.warn("something else", stacklevel=1)
    assert listening.heard == {"grid_sampler_2d_backward_cuda"}
    assert [str(one.message) for one in caught] == ["something else"] * 3
    assert not recwarn.list


def test_a_run_says_that_another_may_end_in_other_bits(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = list(place.run(place.spec(), "calm"))[-1]
    assert isinstance(calm, Finished)
    assert (calm.unsteady, "unsteady" in calm.result) == ((), False)
    monkeypatch.setattr(Listener, "__init__", lambda self, _: self.__dict__.update(gpu=False, heard={"b", "a"}))
    told = list(place.run(place.spec(), "told"))[-1]
    assert isinstance(told, Finished)
    assert told.unsteady == ("a", "b")
    assert "2 operations have no deterministic implementation on this GPU" in outcome(told.result)
    assert "GPU" not in outcome(calm.result)


def test_chance_of_a_run_without_a_gpu_is_the_cpus() -> None:
    """A run may come from a machine with a GPU; on one without, the GPU's stream is neither read nor written."""
    states = chance_of(torch.device("cpu"))
    drawn = torch.rand(3)
    go_on(torch.device("cpu"), states | {"cuda": torch.zeros(16, dtype=torch.uint8)})
    assert states.keys() == {"cpu"}
    assert torch.equal(torch.rand(3), drawn)
    give_back()  # nothing to return, and no GPU is woken for it
    assert not torch.cuda.is_initialized()
