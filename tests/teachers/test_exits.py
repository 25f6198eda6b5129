"""No exit of a run behind a wall holds rows of the edge unless that is allowed: every file is opened and searched."""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import numpy as np
import pytest
from counting import counting
from PIL import Image
from test_books import local, synthetic

from app.cli import WRONG, main
from app.components.cli_command import command
from app.live.hub import Hub
from app.live.render import lacks
from app.live.routes import table
from app.live.run_watcher import Watcher
from app.panels import View, panels
from app.panels._applicable import suited
from kdcore.contracts.data import silent
from kdcore.engine.build import dataset
from kdcore.engine.train import train
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.private_rows import MADE, PRIVATE, SHARED, public, withheld
from kdcore.runs.record import WITHHELD, Record, gather, read_arrays, write_arrays
from kdcore.spec import catalogue
from kdcore.spec.spec import Choice, Spec

SIZE, MIDDLE = 64, 28  # bytes of an image, and where those in its middle begin
WORDS = (" ", ", ", ",", "\n", "\r\n")  # between numbers that are written out


class Rows(NamedTuple):
    """Images that may not leave, and how they may be written."""

    known: frozenset[bytes]  # each as bytes
    middles: np.ndarray  # (N,) uint64, eight of these bytes, by which they are looked for
    written: tuple[bytes, ...]  # some of them in other forms

    def within(self, content: bytes) -> bool:
        """Whether a file holds one: as it is or unpacked, as numbers or text, or as a picture."""
        parts = [content, *_unpacked(content)]
        return any(self._plain(part) or self._pictured(part) for part in parts)

    def _plain(self, part: bytes) -> bool:
        return any(form in part for form in self.written) or any(
            part[at - MIDDLE : at - MIDDLE + SIZE] in self.known for at in _places(part, self.middles)
        )

    def _pictured(self, part: bytes) -> bool:
        coded = [b64decode(found) for found in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", part)]
        bare = [part[at.start() :] for at in re.finditer(rb"\x89PNG\r\n", part)]
        return any(_pixels(png) in self.known for png in (*coded, *bare))


def _places(part: bytes, middles: np.ndarray) -> Iterator[int]:
    """Where one of the middles begins."""
    for start in range(8):
        words = np.frombuffer(part[start : start + (len(part) - start) // 8 * 8], dtype="<u8")
        yield from (int(place) * 8 + start for place in np.flatnonzero(np.isin(words, middles)))


def _unpacked(content: bytes) -> list[bytes]:
    if not content.startswith(b"PK"):
        return []
    with ZipFile(BytesIO(content)) as packed:
        return [packed.read(name) for name in packed.namelist()]


def _pixels(png: bytes) -> bytes:
    """The 8 x 8 pixels of a picture, undoing what enlarged it."""
    shown = np.asarray(Image.open(BytesIO(png)).convert("L"))
    return shown[:: max(1, len(shown) // 8), :: max(1, shown.shape[1] // 8)].tobytes()


def rows_of(images: np.ndarray, some: int = 24) -> Rows:
    """Images (N, 1, 8, 8) uint8, the first `some` of them in every form."""
    written = []
    for image in images[:some]:
        exact = image.astype(np.float64)
        forms = [exact, exact / 255, exact / 127.5 - 1]
        written += [form.astype(kind).tobytes() for form in forms for kind in ("<f4", "<f8")]
        written += [between.join(map(str, image.ravel()[16:40])).encode() for between in WORDS]
    flat = images.reshape(len(images), -1)
    middles = np.ascontiguousarray(flat[:, MIDDLE : MIDDLE + 8]).view("<u8").ravel()
    return Rows(frozenset(image.tobytes() for image in images), middles[middles > 0], tuple(written))


class Home(NamedTuple):
    """A run that is over, and the edge's rows."""

    store: Store
    run: Run
    record: Record
    rows: Rows


def done(store: Store, spec: Spec) -> Run:
    """A run of a spec, in this process."""
    run = store.submit(spec, "me")
    assert store.claim(1, run.id)
    store.append(run.id, list(train(spec, run.folder)))
    return store.get(run.id)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """MEKD from a server that may be sent everything, so that every panel is filled."""
    catalogue.catalogue()
    with pytest.MonkeyPatch.context() as patch, counting(8, 10) as server:
        patch.setenv("KDLAB_HOME", str(tmp_path_factory.mktemp("home")))
        store = Store()
        run = done(store, synthetic(server.url, measure="real"))
        record = gather(run.spec, [heard.event for heard in store.events(run.id, limit=None)], run.folder)
        seen = replace(record, frame=read_arrays(run.folder / record.frames[-1].file))
        data = dataset(run.spec.data, Path(), silent)
        shown = np.concatenate([seen.static["local_x"][:12], seen.static["probe_x"][:12], *(
            split.x for split in (data.train, data.val, data.test))])  # fmt: skip
        yield Home(store, run, seen, rows_of(shown[shown.reshape(len(shown), -1).any(1)]))
        store.close()


def holding(rows: Rows, folder: Path) -> list[str]:
    """Files of a folder that hold one of the rows."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return [str(path.relative_to(folder)) for path in files if rows.within(path.read_bytes())]


# What the search finds


def test_planted_rows_are_found_in_every_form(home: Home, tmp_path: Path) -> None:
    from app.panels._png import png_url

    image = home.record.static["local_x"][3]
    write_arrays(tmp_path / "packed.npz", {"x": image[None].repeat(3, 0)})
    np.save(tmp_path / "bare.npy", image.astype(np.float32) / 255)
    (tmp_path / "bytes").write_bytes(b"odd" + image.tobytes())
    (tmp_path / "list.json").write_text(json.dumps(image.tolist()[0]).replace("], [", ", "))
    (tmp_path / "page.html").write_text(f'<img src="{png_url(image, enlarge=True)}">')
    (tmp_path / "picture.png").write_bytes(b64decode(png_url(image).partition(",")[2]))
    assert len(holding(home.rows, tmp_path)) == 6
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "other").write_bytes(np.random.default_rng(0).integers(256, size=4096).astype("u1").tobytes())
    assert holding(home.rows, tmp_path / "noise") == []


def test_the_run_itself_holds_them(home: Home) -> None:
    assert {"static.npz"} <= set(holding(home.rows, home.run.folder))


# Records


@pytest.mark.parametrize("real", [False, True])
def test_an_exported_record_holds_rows_only_where_that_is_allowed(
    home: Home, real: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", home.run.id, str(tmp_path / "record"), *(["--real-images"] if real else [])]
    assert main(words) == 0
    assert ("Left out of this record" in capsys.readouterr().err) != real
    assert holding(home.rows, tmp_path / "record") == (["static.npz"] if real else [])
    names = {path.name for path in (tmp_path / "record").iterdir()}
    kept = {"events.jsonl", "frames", "run.json", "static.npz", "student.safetensors", "source.safetensors"}
    assert names - {"microscope"} == kept


def test_a_record_without_rows_loads_again_and_panels_say_what_is_missing(home: Home, tmp_path: Path) -> None:
    folder = home.store.export(home.run.id, tmp_path / "record")
    elsewhere = Store(tmp_path / "elsewhere")
    run = elsewhere.bring(folder)
    watcher = Watcher(elsewhere, run.id)
    record = watcher.subject.record()
    assert record.withheld == {"probe_x", "local_x", "inverse_teacher", "inverse_student"}
    assert suited(run) == suited(home.run)
    said = {name: lacks(watcher, panels()[name], record, None) for name in suited(run)}
    before = {name: lacks(Watcher(home.store, home.run.id), panels()[name], home.record, None) for name in said}
    new = {name: sentence for name, sentence in said.items() if sentence and not before[name]}
    assert set(new) == {"samples", "inversions"}
    assert all("kdlab export --real-images" in sentence for sentence in new.values())
    for name in set(said) - set(new):
        if not said[name]:
            assert panels()[name].draw(record, View())
    again = elsewhere.export(run.id, tmp_path / "again", real=True)
    assert read_arrays(again / "static.npz")[WITHHELD].tolist() == sorted(record.withheld)
    elsewhere.close()


def test_commands_on_a_record_without_rows_say_so(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = home.store.export(home.run.id, tmp_path / "record")
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "elsewhere"))
    with closing(Store()) as elsewhere:
        elsewhere.bring(folder)
    assert main(["mimic", home.run.id]) == WRONG
    assert "exported without the images" in capsys.readouterr().err
    out = tmp_path / "verdict.html"
    assert main(["verdict", home.run.id, "-o", str(out), "--real-images"]) == 0
    assert not home.rows.within(out.read_bytes())


def test_what_shows_a_local_image_among_what_was_made_stays(home: Home, tmp_path: Path) -> None:
    """Pictures that match one, a pool of local images, and arrays that nobody has declared."""
    with counting(8, 10) as server:
        source = Choice(name="activemix", knobs={"start": 8, "rounds": 1, "every": 2, "add": 4, "pairs": 8})
        spec = local(server.url, measure="real").model_dump(mode="json") | {"source": source.model_dump()}
        run = done(home.store, Spec.model_validate(spec))
    assert {"source.safetensors", "static.npz"} < set(holding(home.rows, run.folder))
    folder = home.store.export(run.id, tmp_path / "mixed")
    assert holding(home.rows, folder) == []
    arrays = dict(home.record.frame)
    copied = np.zeros(len(arrays["made_to_local"]), dtype=bool)
    copied[[3, 7]] = True
    arrays["made_x"] = arrays["made_x"].copy()
    arrays["made_x"][[3, 7]] = home.record.static["local_x"][:2]
    arrays |= {"made_copied": copied, "own_new": home.record.static["probe_x"]}
    left = public(arrays, home.run.spec)
    assert len(left[MADE]) == len(left["made_logits"]) == len(arrays[MADE]) - 2
    assert not any(home.rows.within(array.tobytes()) for array in left.values())
    assert "own_new" in withheld(arrays, home.run.spec)


def test_points_that_stand_in_the_settings_are_not_exported_unasked(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = synthetic("http://127.0.0.1:1").model_dump(mode="json")
    asked |= {"data": {"name": "points"}, "source": {"name": "data"}, "method": {"name": "kd"}}
    asked |= {"student": {"name": "mlp"}}
    run = home.store.submit(Spec.model_validate(asked), "me")
    assert main(["export", run.id, str(tmp_path / "points")]) == WRONG
    assert "hold its points" in capsys.readouterr().err
    assert not (tmp_path / "points").exists()


# Other files


@pytest.mark.parametrize("real", [False, True])
def test_a_verdict_holds_rows_only_where_that_is_allowed(home: Home, real: bool, tmp_path: Path) -> None:
    out = tmp_path / "verdict.html"
    assert main(["verdict", home.run.id, "-o", str(out), *(["--real-images"] if real else [])]) == 0
    assert home.rows.within(out.read_bytes()) == real


def test_what_commands_print_holds_none(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["show", home.run.id, "--json"],
        ["runs", "--json"],
        ["verdict", home.run.id],
    ):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert len(said) > 100
        assert not home.rows.within(said.encode())
    assert not home.rows.within((command(home.run.spec) or "").encode())


def test_the_numbers_of_a_panel_hold_none(home: Home) -> None:
    hub = Hub(lambda: home.store)
    names = [
        name
        for name in suited(home.run)
        if not lacks(Watcher(home.store, home.run.id), panels()[name], home.record, None)
    ]
    assert len(names) > 10
    for name in names:
        response = table(hub, {"run": home.run.id, "panel": name}, {})
        assert response.status_code == 200, name
        assert not home.rows.within(bytes(response.body)), name


def test_a_picture_that_shows_rows_is_one_that_has_to_be_allowed(home: Home) -> None:
    """The page guards pictures of panels that say so; others must hold no row."""
    watcher = Watcher(home.store, home.run.id)
    shown = {}
    for name in suited(home.run):
        if not lacks(watcher, panels()[name], home.record, None):
            drawn = panels()[name].draw(home.record, View())
            content = drawn if isinstance(drawn, bytes) else json.dumps(drawn, default=str).encode()
            shown[name] = home.rows.within(content)
    assert {name for name, holds in shown.items() if holds} == {"made", "samples", "inversions"}
    assert all(panels()[name].pictured for name, holds in shown.items() if holds)


# The list


def test_every_array_of_the_contract_is_declared() -> None:
    """Names in the contract's own words, and what methods show of themselves."""
    import kdcore.runs.record

    text = (kdcore.runs.record.__doc__ or "").partition("Static arrays")[2]
    named = set(
        re.findall(
            r"\b((?:probe|teacher|student|train|local|made|inverse|cells|field|gradient|own)_[a-z_]*[a-z])", text
        )
    )
    named |= set(re.findall(r"\b(extent|cka|step|nearest_real) \(", text))
    assert len(named) > 30
    assert named - PRIVATE - SHARED - {MADE} == set()
    assert not PRIVATE & SHARED


def test_every_array_of_a_run_is_declared(home: Home) -> None:
    names = {*home.record.static, *home.record.frame}
    assert len(names) > 25
    assert names - PRIVATE - SHARED - {MADE} == set()
