"""What every registered data set promises, whatever it holds."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.contracts.data import Data, Dataset
from kdcore.data._published import Published
from kdcore.spec.registry import DATA

OFFLINE = [name for name in DATA if not issubclass(DATA[name], Published)]
SMALL: dict[str, dict[str, object]] = {"rendered": {"samples": 200}, "digits_color": {"colors": 3}}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy colour images, twenty each, of differing sizes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for label in ("ant", "bee", "cow"):
        (root / label).mkdir()
        for row in range(20):
            pixels = rng.integers(0, 256, (20 + row, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{row}.png")
    return root


def made(name: str, images: Path, **knobs: object) -> Data:
    own = {"path": str(images)} if name == "image_folder" else {}
    return DATA[name](**{**SMALL.get(name, {}), **own, **knobs})


def same(left: Dataset, right: Dataset) -> bool:
    arrays = [[*data.train, *data.val, *data.test, data.clean_train_y] for data in (left, right)]
    return all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True)) and left.mean == right.mean


def rows(x: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in x}


@pytest.mark.parametrize("name", OFFLINE)
def test_shapes_types_and_ranges(name: str, images: Path, tmp_path: Path) -> None:
    knobs = made(name, images)
    data = knobs.load(tmp_path)
    shape, classes = knobs.signature()
    assert len(data.classes) == len(set(data.classes)) == classes
    for split in (data.train, data.val, data.test):
        assert split.x.shape == (len(split.y), *shape)
        assert split.x.dtype == (np.uint8 if len(shape) == 3 else np.float32)
        assert split.x.flags.writeable
        assert split.x.flags.c_contiguous
        assert split.y.dtype == np.int64
        assert set(split.y) == set(range(classes))
    assert data.clean_train_y.dtype == np.int64
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OFFLINE)
def test_inputs_are_standardised(name: str, images: Path, tmp_path: Path) -> None:
    data = made(name, images).load(tmp_path)
    if data.train.x.ndim == 2:
        assert data.mean == data.std == ()
        assert np.abs(data.train.x.mean(0)).max() < 0.35
        assert 0.6 < data.train.x.std() < 1.5
    else:
        x = data.train.x.astype(np.float64) / 255
        np.testing.assert_allclose(data.mean, x.mean((0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(data.std, x.std((0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("name", OFFLINE)
def test_a_seed_means_the_same_bits_and_another_seed_others(name: str, images: Path, tmp_path: Path) -> None:
    knobs = {"label_noise": 0.2, "label_fraction": 0.5, "train_fraction": 0.7}
    first = made(name, images, seed=1, **knobs).load(tmp_path)
    assert same(first, made(name, images, seed=1, **knobs).load(tmp_path))
    assert not same(first, made(name, images, seed=2, **knobs).load(tmp_path))


@pytest.mark.parametrize("name", OFFLINE)
def test_splits_share_no_row(name: str, images: Path, tmp_path: Path) -> None:
    data = made(name, images, validation=0.3).load(tmp_path)
    for left, right in itertools.combinations((data.train, data.val, data.test), 2):
        assert not rows(left.x) & rows(right.x)


@pytest.mark.parametrize("name", OFFLINE)
def test_troubles_leave_validation_and_test_alone(name: str, images: Path, tmp_path: Path) -> None:
    calm = made(name, images).load(tmp_path)
    rough = made(name, images, label_noise=0.4, label_fraction=0.3, train_fraction=0.5).load(tmp_path)
    assert np.array_equal(calm.val.x, rough.val.x)
    assert np.array_equal(calm.val.y, rough.val.y)
    assert np.array_equal(calm.test.y, rough.test.y)
    assert (calm.mean, calm.std) == (rough.mean, rough.std)
    assert rows(rough.train.x) <= rows(calm.train.x)


@pytest.mark.parametrize("name", DATA)
def test_the_recipe_names_what_exists(name: str) -> None:
    from kdcore.spec.catalogue import check_knobs
    from kdcore.spec.schedule import Schedule

    recipe = DATA[name].recipe
    for model, knobs in (recipe.teacher, recipe.student):
        check_knobs("model", model, knobs)
    for schedule in (recipe.teacher_schedule, recipe.schedule):
        assert Schedule(**schedule).model_dump().items() >= schedule.items()
    check_knobs("source", "data", {"augment": recipe.augment})


@pytest.mark.parametrize("name", DATA)
def test_every_knob_is_described_and_has_a_default(name: str) -> None:
    for knob, schema in DATA[name].model_json_schema()["properties"].items():
        assert schema["description"].endswith("."), knob
        assert "default" in schema, knob


def test_the_registry_loads_no_torch_and_no_screen() -> None:
    code = (
        "import sys; from kdcore.spec.registry import DATA; [thing().signature() for thing in DATA.values()];"
        "print([name for name in ('torch', 'torchvision', 'sklearn', 'PIL', 'streamlit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
