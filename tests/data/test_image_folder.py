"""A person's own images: what is read, how it is split, and every way in which a folder can be wrong."""

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdcore.data import image_folder
from kdcore.errors import BadInput
from kdcore.jobs.store import Store
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Choice, Spec

HERE = Path()
COLORS = {"blue": (0, 0, 250), "red": (250, 0, 0)}


def save(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (40, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of ten images in several types and sizes."""
    for name, color in COLORS.items():
        for row in range(10):
            save(tmp_path / name / f"{row}.{('png', 'jpg', 'bmp', 'webp', 'gif')[row % 5]}", color, (20 + row, 30))
    return tmp_path


def refused(folder: Path) -> str:
    """What is told of a folder, in one sentence."""
    with pytest.raises(BadInput) as caught:
        DATA["image_folder"](path=str(folder)).load(HERE)
    told = str(caught.value)
    assert told.endswith(".")
    assert "\n" not in told
    return told


@pytest.mark.parametrize("side", [28, 32, 64])
def test_images_become_squares_in_their_colours(folder: Path, side: int) -> None:
    data = DATA["image_folder"](path=str(folder), side=side).load(HERE)
    assert data.classes == ("blue", "red")
    assert data.train.x.shape[1:] == (3, side, side)
    for split in (data.train, data.val, data.test):
        for x, y in zip(split.x, split.y, strict=True):
            np.testing.assert_allclose(x.mean((1, 2)), COLORS[data.classes[y]], atol=6)


def test_sixty_twenty_twenty(folder: Path) -> None:
    data = DATA["image_folder"](path=str(folder)).load(HERE)
    assert [np.bincount(split.y).tolist() for split in (data.train, data.val, data.test)] == [[6, 6], [2, 2], [2, 2]]


def test_grey_is_one_channel(folder: Path) -> None:
    knobs = DATA["image_folder"](path=str(folder), grey=True)
    assert knobs.signature() == ((1, 32, 32), 2)
    assert knobs.load(HERE).train.x.shape[1:] == (1, 32, 32)


def test_the_signature_reads_names_only(folder: Path) -> None:
    (folder / "teal").mkdir()
    assert DATA["image_folder"](path=str(folder)).signature() == ((3, 32, 32), 3)
    assert DATA["image_folder"]().signature() == ((3, 32, 32), 2)


def test_names_that_start_with_a_dot_are_skipped(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "red" / ".DS_Store").write_bytes(b"x")
    assert len(DATA["image_folder"](path=str(folder)).load(HERE).classes) == 2


def test_a_photograph_stands_upright(folder: Path) -> None:
    upright = Image.new("RGB", (20, 40), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 20, 20))
    turned = upright.rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter clockwise to show it
    for row in range(3):
        (folder / "photo").mkdir(exist_ok=True)
        turned.save(folder / "photo" / f"{row}.jpg", exif=exif)
    data = DATA["image_folder"](path=str(folder)).load(HERE)
    photo = data.test.x[data.test.y == data.classes.index("photo")][0]
    assert photo[:, :14].min() > 200
    assert photo[:, 18:].max() < 50


@pytest.mark.parametrize("grey", [True, False])
def test_sixteen_bits_are_read_over_their_whole_range(folder: Path, grey: bool) -> None:
    (folder / "scan").mkdir()
    for row in range(3):
        Image.fromarray(np.full((40, 40), 0x8000, np.uint16)).save(folder / "scan" / f"{row}.png")
    data = DATA["image_folder"](path=str(folder), grey=grey).load(HERE)
    scans = data.train.x[data.train.y == data.classes.index("scan")]
    assert set(scans.flat) == {128}, "32768 of 65535 is middle grey, not white"


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_an_animation_is_refused_before_a_run_and_when_read(folder: Path, kind: str) -> None:
    first, *others = (Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 90, 180))
    path = folder / "red" / f"moving.{kind}"
    first.save(path, save_all=True, append_images=others)
    assert f"{path} is animated: it shows 3 images" in refused(folder)
    assert str(path) in unready(folder)


def test_a_photograph_with_a_preview_of_its_own_is_no_animation(folder: Path) -> None:
    photo, preview = (Image.new("RGB", (8, 8), (200, shade, 0)) for shade in (0, 200))
    for row in range(3):
        (folder / "photo").mkdir(exist_ok=True)
        photo.save(folder / "photo" / f"{row}.jpg", "MPO", save_all=True, append_images=[preview])
    data = DATA["image_folder"](path=str(folder)).load(HERE)
    assert data.test.x[data.test.y == data.classes.index("photo")][0, 1].max() < 20


def unready(folder: Path) -> str:
    """What is told of a folder before a run starts."""
    with pytest.raises(BadInput) as caught:
        DATA["image_folder"](path=str(folder)).ready()
    return str(caught.value)


def test_files_that_are_no_images_are_all_named_before_a_run_starts(folder: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (folder / "red" / name).write_bytes(b"hello")
    told = unready(folder)
    assert f"{folder}/red/a.png and {folder}/red/b.jpg are animated or cannot be read as images" in told
    for at in range(4):
        (folder / "blue" / f"{at}.txt").write_text("hello")
    told = unready(folder)
    assert f"{folder}/blue/0.txt, {folder}/blue/1.txt, {folder}/blue/2.txt and 1 more are folders or no images" in told


def test_a_form_that_is_drawn_again_opens_no_file_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, opened = DATA["image_folder"](path=str(folder)), []
    monkeypatch.setattr(image_folder, "_misread", opened.append)
    data.ready()
    data.ready()
    assert len(opened) == 20
    save(folder / "red" / "new.png", COLORS["red"])
    data.ready()
    assert len(opened) == 41


def test_no_failed_run_is_left_of_them(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path_factory.mktemp("home")))
    (folder / "red" / "a.png").write_bytes(b"hello")
    data = Choice(name="image_folder", knobs={"path": str(folder)})
    with closing(Store()) as store:
        with pytest.raises(BadInput, match=r"a\.png cannot be read as an image"):
            store.submit(Spec(data=data, student=Choice(name="cnn"), method=Choice(name="ce")), "somebody")
        assert not store.runs()


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Test"), ("train",)])
def test_splits_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        for kind, color in COLORS.items():
            for row in range(5):
                save(tmp_path / name / kind / f"{row}.png", color)
    (tmp_path / "README.txt").write_text("hello")
    told = unready(tmp_path)
    assert f"are splits ({', '.join(sorted(names))}), not classes; give one of them, such as {tmp_path}/" in told
    inside = told.partition("such as ")[2].partition(",")[0]
    assert DATA["image_folder"](path=inside).load(HERE).classes == ("blue", "red")


def test_reading_tells_how_far_it_is(folder: Path) -> None:
    told: list[tuple[str, float]] = []
    DATA["image_folder"](path=str(folder)).load(HERE, lambda what, share: told.append((what, share)))
    assert told[0] == ("reading blue/0.png", 1 / 20)
    assert told[-1][1] == 1.0


def test_no_path() -> None:
    with pytest.raises(BadInput, match="needs the path of a folder"):
        DATA["image_folder"]().load(HERE)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in refused(tmp_path / "absent")
    with pytest.raises(BadInput):
        DATA["image_folder"](path=str(tmp_path / "absent")).signature()


def test_one_class(tmp_path: Path) -> None:
    save(tmp_path / "only" / "1.png", COLORS["red"])
    assert "at least two classes, but has 1" in refused(tmp_path)


def test_an_empty_class(folder: Path) -> None:
    (folder / "teal").mkdir()
    assert "Class 'teal' is too small" in refused(folder)


def test_two_classes_with_one_sample_each(tmp_path: Path) -> None:
    for name, color in COLORS.items():
        save(tmp_path / name / "1.png", color)
    assert "Class 'blue' is too small: an image folder needs at least 3" in refused(tmp_path)


def test_a_class_whose_name_is_not_utf8(folder: Path) -> None:
    save(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9/0.png")), (0, 0, 0))
    assert "'caf\\udce9' has a name that is not UTF-8" in refused(folder)


def test_an_image_whose_name_is_not_utf8_is_read_and_reported(folder: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(folder) + b"/red/caf\xe9.png"))
    save(file, COLORS["red"])
    said: list[str] = []
    DATA["image_folder"](path=str(folder)).load(HERE, lambda what, _: said.append(what))
    assert "reading red/caf\\udce9.png" in said
    file.write_bytes(b"no image")
    assert "caf\\udce9.png cannot be read as an image" in refused(folder)


def test_a_text_file_among_the_images(folder: Path) -> None:
    (folder / "red" / "notes.txt").write_text("hello")
    told = refused(folder)
    assert str(folder / "red" / "notes.txt") in told
    assert ".png, .jpg" in told


def test_a_text_file_beside_the_classes(folder: Path) -> None:
    (folder / "labels.txt").write_text("hello")
    assert str(folder / "labels.txt") in refused(folder)


def test_a_folder_among_the_images(folder: Path) -> None:
    (folder / "red" / "more").mkdir()
    assert "more is a folder" in refused(folder)


@pytest.mark.parametrize("content", [b"hello", b"", b"\x80\x04K\x01."])
def test_a_text_that_calls_itself_an_image(folder: Path, content: bytes) -> None:
    (folder / "red" / "fake.png").write_bytes(content)
    assert "fake.png cannot be read as an image" in refused(folder)


def test_half_an_image(folder: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    noise.save(folder / "red" / "half.png")
    whole = (folder / "red" / "half.png").read_bytes()
    (folder / "red" / "half.png").write_bytes(whole[: len(whole) // 2])
    assert "half.png cannot be read as an image" in refused(folder)
