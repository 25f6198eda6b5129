"""The catalogue tells the same as the registries, without torch, and is kept only as long as it is true."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kdcore.errors import BadInput
from kdcore.spec import catalogue as kept
from kdcore.spec.catalogue import KINDS, catalogue, check_knobs, cost_of, entry, knobs_model
from kdcore.spec.costs import cost
from kdcore.spec.registry import REGISTRIES, Registry

NAMES = [(kind, name) for kind in KINDS for name in REGISTRIES[kind]]


def test_the_catalogue_comes_with_the_sources_and_says_the_same() -> None:
    """Where this fails, `make catalogue` writes it anew."""
    assert kept.stored() == kept.SHIPPED
    assert catalogue() == json.loads(json.dumps(kept.build()))


@pytest.mark.parametrize("name", list(REGISTRIES["model"]))
def test_its_costs_are_those_of_the_networks(name: str) -> None:
    """Building takes them from the file while the models stay the same, so they are counted here, some of each."""
    rows = entry("model", name)["costs"]
    for row in rows[:: max(1, len(rows) // 4)]:
        net = REGISTRIES["model"][name](**row["knobs"]).build(tuple(row["shape"]), 7)
        assert cost_of(name, row["knobs"], row["shape"], 7) == cost(net, tuple(row["shape"])).model_dump()


def test_a_digest_covers_every_module_from_which_a_thing_inherits() -> None:
    covered = {path for pattern in kept.SOURCES for path in kept.ROOT.glob(pattern)}
    for kind, name in NAMES:
        modules = [
            module for module in (one.__module__ for one in REGISTRIES[kind][name].__mro__) if "kdcore" in module
        ]
        assert {Path(str(sys.modules[module].__file__)) for module in modules} <= covered


def test_ground_loads_no_torch() -> None:
    rooms = "kdcore.spec.spec, kdcore.spec.catalogue, kdcore.spec.registry, kdcore.runs.record"
    code = f"import {rooms}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_asking_the_catalogue_loads_no_torch() -> None:
    catalogue()  # built, so that the process below finds it
    code = (
        "from kdcore.spec.catalogue import cost_of; from kdcore.spec.lineage import recommended; import sys;"
        "recommended(); cost_of('mlp', {}, (2,), 2); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_an_entry_says_what_its_class_says(kind: str, name: str) -> None:
    thing: type[Any] = REGISTRIES[kind][name]
    said = entry(kind, name)
    assert said["title"] == thing.title
    assert said["doc"]
    assert (kept.ROOT.parent / said["file"]).exists()
    schema = json.loads(json.dumps(thing.model_json_schema()))
    for knob, symbol in getattr(thing, "symbols", {}).items():
        schema["properties"][knob]["symbol"] = symbol
    assert said["schema"] == schema


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_knobs_read_from_the_catalogue_are_those_of_the_class(kind: str, name: str) -> None:
    thing: type[BaseModel] = REGISTRIES[kind][name]
    rebuilt = knobs_model(kind, name)
    assert list(rebuilt.model_fields) == list(thing.model_fields)
    assert rebuilt().model_dump(mode="json") == thing().model_dump(mode="json")
    for key, field in thing.model_fields.items():
        assert rebuilt.model_fields[key].description == field.description
    with pytest.raises(ValueError):
        rebuilt(no_such_knob=1)


def test_a_method_shows_its_paragraphs() -> None:
    said = entry("method", "dkd")
    assert said["doc"].startswith("Decoupled distillation")
    assert said["source"].startswith("Zhao, Cui")
    assert said["departs"].startswith("the warm-up")
    assert said["zero_when"].startswith("the teacher's")
    assert said["needs"] == ["probabilities"]


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [("method", "ddk", "dkd"), ("model", "resent", "resnet"), ("data", "digit", "digits"), ("source", "dat", "data")],
)
def test_a_mistyped_name_suggests(kind: str, name: str, meant: str) -> None:
    with pytest.raises(BadInput, match=rf"named '{name}'\. Did you mean '{meant}'\?"):
        entry(kind, name)


def test_knobs_are_spelled_out() -> None:
    assert check_knobs("method", "kd", {"temperature": 2}) == {
        "temperature": 2.0,
        "label_weight": 0.1,
        "kd_weight": 0.9,
    }


@pytest.mark.parametrize(
    ("kind", "name", "knobs", "said"),
    [
        ("method", "kd", {"temprature": 2.0}, r"no knob of 'kd' named 'temprature'\. Did you mean 'temperature'\?"),
        ("method", "ce", {"temperature": 2.0}, r"'ce' has no knobs, but got 'temperature'; remove it\."),
        ("method", "kd", {"temperature": 0.0}, r"temperature .* greater than or equal to 0\.1, but got 0\.0"),
        ("method", "kd", {"temperature": float("nan")}, r"temperature .* but got nan"),
        ("method", "kd", {"temperature": "hot"}, r"temperature .* valid number.*but got 'hot'"),
        ("model", "mlp", {"width": 5}, r"width .* 4, 8, 16, 32, 64, 128 or 256, but got 5"),
    ],
)
def test_wrong_knobs_get_one_sentence(kind: str, name: str, knobs: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        check_knobs(kind, name, knobs)
    assert "\n" not in str(caught.value)


def test_costs_beside_each_choice() -> None:
    lenet = {"parameters": 61_706, "multiply_adds": 416_520, "size_bytes": 246_824}
    assert cost_of("lenet", {}, (1, 28, 28), 10) == lenet
    assert cost_of("lenet", {"variant": "full"}, [1, 32, 32], 10) == lenet
    assert cost_of("lenet", {}, (2,), 10) is None
    assert cost_of("torchvision", {"name": "vgg11"}, (3, 32, 32), 10) is None
    with pytest.raises(BadInput):
        cost_of("lenet", {"variant": "third"}, (1, 28, 28), 10)


@pytest.mark.parametrize("name", list(REGISTRIES["data"]))
def test_what_a_data_set_recommends_exists_and_can_read_it(name: str) -> None:
    said = entry("data", name)
    for network in ("teacher", "student"):
        model, knobs = said["recipe"][network]
        found = cost_of(model, knobs, said["shape"], said["classes"])
        assert found is not None
        assert found["parameters"] > 0


def test_the_teacher_of_a_recipe_is_larger() -> None:
    for name in REGISTRIES["data"]:
        said = entry("data", name)
        sizes = [
            cost_of(*said["recipe"][network], said["shape"], said["classes"]) for network in ("teacher", "student")
        ]
        assert sizes[0]["parameters"] > sizes[1]["parameters"]


def test_it_is_rebuilt_when_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "new.py").write_text("one = 1\n")
    monkeypatch.setattr(kept, "ROOT", tmp_path)
    before = kept.sources_digest()
    assert kept.sources_digest() == before
    (tmp_path / "methods" / "new.py").write_text("one = 2\n")
    assert kept.sources_digest() != before


def test_writing_leaves_one_catalogue_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "catalogue-old.json").write_text("{}")
    kept.write(tmp_path / "catalogue-new.json", {"method": {"one": {"title": "One"}, "two": {}}, "model": {}})
    assert [path.name for path in tmp_path.iterdir()] == ["catalogue-new.json"]
    written = json.loads((tmp_path / "catalogue-new.json").read_text())
    assert written.pop("sources") == kept.sources_digest()
    assert written.pop("weighed") == kept.sources_digest(kept.WEIGHED)
    assert written == {"method": {"one": {"title": "One"}, "two": {}}, "model": {}}


def test_a_changed_source_is_read_anew_and_kept_in_the_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "sources_digest", lambda *_: "changed")
    assert kept.stored() == home / "catalogue-changed.json"
    (home / "file").write_text("no folder")
    monkeypatch.setenv("KDLAB_HOME", str(home / "file"))
    with pytest.raises(BadInput, match=r"The home .*file cannot be written .*set KDLAB_HOME to another folder\."):
        catalogue.__wrapped__()


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_the_files(kind: str) -> None:
    registry: Registry[type] = REGISTRIES[kind]
    files = sorted(path.stem for path in (kept.ROOT / registry.folder).glob("[!_]*.py"))
    assert list(registry) == files == list(catalogue()[kind])
    assert len(registry) == len(files)
    assert "no_such_thing" not in registry
    with pytest.raises(BadInput, match="There is no"):
        registry["no_such_thing"]
