"""The Runs and the Library page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
from lab_driver import Finish, Open, button, cards, said
from safetensors.numpy import save_file

from kdcore.jobs.store import Store


def test_no_runs(lab: Open) -> None:
    page = lab("runs")
    assert not page.exception
    assert "No runs yet." in said(page)


def test_the_table_lists_and_finds(lab: Open, finish: Finish) -> None:
    moons, circles = finish(), finish(data="circles", owner="somebody")
    page = lab("runs")
    assert not page.exception
    assert list(page.dataframe[0].value["id"]) == [circles.id, moons.id]
    assert list(page.dataframe[0].value["whose"]) == ["another user", "mine"]
    page.text_input[0].set_value("moons kd").run()
    assert "No run matches." in said(page)
    page.text_input[0].set_value("moons distillation").run()
    assert list(page.dataframe[0].value["id"]) == [moons.id]


def test_a_run_is_found_by_its_seed_and_its_scores_are_percentages(lab: Open, finish: Finish) -> None:
    finish(seed=3, accuracy=0.8)
    other = finish(seed=4, accuracy=0.9008)
    page = lab("runs")
    page.text_input[0].set_value("seed 4").run()
    table = page.dataframe[0].value
    assert list(table["id"]) == [other.id]
    assert list(table["student"].round(6)) == [90.08]


def packed(folder: Path) -> bytes:
    """A record's folder as a zip, under another id."""
    facts = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(facts | {"id": "from-elsewhere"}))
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name)).read_bytes()


def test_a_record_from_elsewhere_is_brought_in(lab: Open, finish: Finish, store: Store, tmp_path: Path) -> None:
    folder = store.export(finish().id, tmp_path / "record")
    save_file({"w": np.ones(2, np.float32)}, folder / "student.safetensors")
    record = packed(folder)
    page = lab("runs")
    page.file_uploader[0].upload("bad.zip", b"PK\x03\x04", "application/zip").run()
    assert "The record cannot be copied" in said(page)
    assert len(store.runs()) == 1
    page.file_uploader[0].upload("record.zip", record, "application/zip").run()
    assert not page.exception
    assert "Imported run from-elsewhere" in said(page).replace("`", "")
    assert list(page.dataframe[0].value["whose"]).count("recorded") == 1
    assert store.get("from-elsewhere").recorded


def test_a_link_ticks_the_runs_it_compares(lab: Open, finish: Finish) -> None:
    runs = [finish(seed=seed, accuracy=0.8 + seed / 20) for seed in range(3)]
    page = lab("runs", compare=f"{runs[0].id},{runs[2].id}")
    assert not page.exception
    assert len(page.get("vega_lite_chart")) == 2
    (table,) = page.table
    assert table.value.values.tolist() == [["seed", "2", "0"]]


def test_different_data_are_not_laid_over_each_other(lab: Open, finish: Finish) -> None:
    page = lab("runs", compare=f"{finish().id},{finish(data='circles').id}")
    assert "These runs are on different data (Circles, Moons)" in said(page)
    assert len(page.get("vega_lite_chart")) == 0
    assert "data.name" in list(page.table[0].value["setting"])


def test_losses_of_different_methods_come_with_a_caveat(lab: Open, finish: Finish) -> None:
    page = lab("runs", compare=f"{finish().id},{finish(method='dkd').id}")
    assert "Losses of different methods have different scales" in said(page)


def test_ticks_stay_on_their_runs_when_others_come(lab: Open, finish: Finish) -> None:
    old = finish()
    page = lab("runs", compare=old.id)
    finish(seed=1)
    page.run()
    assert page.query_params["compare"] == old.id
    assert page.session_state["table of runs"]["selection"]["rows"] == [1]


def test_delete_and_undo(lab: Open, store: Store, finish: Finish) -> None:
    mine, other = finish(), finish(owner="somebody", seed=1)
    page = button(lab("runs", compare=f"{mine.id},{other.id}"), "Delete 1 of mine")
    assert [run.id for run in store.runs()] == [other.id]
    button(page, "Undo")
    assert {run.id for run in store.runs()} == {mine.id, other.id}


def test_a_deleted_run_can_be_brought_back_later(lab: Open, store: Store, finish: Finish) -> None:
    run = finish()
    store.delete(run.id, "me")
    page = lab("runs", deleted="true")
    button(page, "Restore")
    assert [found.id for found in store.runs()] == [run.id]


def test_the_library_shows_every_row(lab: Open) -> None:
    page = lab("library")
    assert not page.exception
    assert "131 papers" in said(page)
    assert cards(page).count('id="row-') == 132
    assert 'href="./?method=fitnet"' in cards(page)
    assert 'href="./?method=kd"' in cards(page)
    assert 'href="./methods?method=crd"' in cards(page)
    assert "Not implemented yet" in cards(page)
    assert 'href="./blackbox?access=probabilities&amp;preset=zo_inversion"' in cards(page)
    assert 'href="./blackbox?access=white_box&amp;preset=dfad"' in cards(page)
    assert 'href="./inspector?section=where"' in cards(page)
    assert "Summary only" in cards(page)
    assert not re.search(r"confidence [A-D]|\bD\d+\b|row \d", cards(page))  # no code of ours


def test_the_library_searches_and_filters_by_link(lab: Open) -> None:
    assert cards(lab("library", q="hints thin")).count('id="row-') == 1
    assert cards(lab("library", kind="reading card")).count('id="row-') == 29
    assert "Baselines and related methods" not in [item.value for item in lab("library", confidence="A").subheader]
    mutual = lab("library", q="mutual learning")
    assert "<code>dml</code>" in cards(mutual)
    assert "No paper matches" not in said(mutual)
    page = lab("library", q="nothing like this")
    assert "No paper matches." in said(page)
