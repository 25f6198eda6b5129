"""Selections: what they mean, how clicks change them, and what is said of those that make no sense."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_factory import random_case
from hypothesis import given
from hypothesis import strategies as st

from kdcore.comparison.case import PARTS, Case
from kdcore.comparison.selection import LONGEST, chosen, mask, parse, told, value, without, written
from kdcore.errors import BadInput

VECTORS = json.loads((Path(__file__).parents[1] / "web" / "selection.json").read_text())  # the pages are tested on it


@pytest.fixture
def seen(tmp_path: Path) -> Case:
    x = np.arange(200) / 200
    made = random_case(tmp_path)
    np.savez(tmp_path / "embedding.npz", x=x, y=1 - x)
    return Case(made.folder)


def test_the_parts_split_the_rows(seen: Case) -> None:
    masks = [mask(seen, f"part={part}") for part in PARTS]
    assert np.sum(masks, axis=0).tolist() == [1] * 200


def test_terms_hold_together(seen: Case) -> None:
    both = mask(seen, "true=3;part=teacher_only")
    assert (both == (mask(seen, "true=3") & mask(seen, "part=teacher_only"))).all()
    assert both.any()
    assert mask(seen, "").all()


def test_classes_columns_rows_and_boxes(seen: Case) -> None:
    rows = seen.rows
    assert (mask(seen, "student=1+2") == np.isin(rows.student_top, [1, 2])).all()
    assert (mask(seen, "teacher=0") == (rows.teacher_top == 0)).all()
    assert np.flatnonzero(mask(seen, "rows=4+17")).tolist() == [4, 17]
    assert np.flatnonzero(mask(seen, "box.embedding=0,0.0101,0,1")).tolist() == [0, 1, 2]
    bright = seen.columns["brightness"]
    assert (mask(seen, "brightness=0.5..") == (bright >= 0.5)).all()
    middle = float(np.sort(bright)[100])
    assert mask(seen, f"brightness={middle}").sum() >= 1


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6, unique=True))
def test_neighbouring_ranges_share_no_row_and_miss_none(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[float]
) -> None:
    seen = random_case(tmp_path_factory.mktemp("case"), rows=50)
    edges = ["", *(repr(cut) for cut in sorted(cuts)), ""]
    found = [mask(seen, f"student confidence={low}..{high}") for low, high in pairwise(edges)]
    assert np.sum(found, axis=0).tolist() == [1] * 50


@pytest.mark.parametrize("known", VECTORS["read"], ids=lambda known: known["text"])
def test_the_grammar_is_the_one_that_the_pages_read(known: dict[str, Any]) -> None:
    assert [list(term) for term in parse(known["text"])] == known["terms"]
    assert parse(written(parse(known["text"]))) == parse(known["text"])


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_what_the_pages_refuse_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="key=value"):
        parse(text)


@pytest.mark.parametrize("click", VECTORS["clicks"], ids=lambda click: click["after"])
def test_a_click_makes_a_selection(click: dict[str, str]) -> None:
    assert written(parse(click["after"])) == click["after"]


def test_the_pages_know_how_long_a_selection_may_be() -> None:
    assert VECTORS["longest"] == LONGEST
    assert len(parse("a=".ljust(LONGEST, "é"))) == 1
    with pytest.raises(BadInput, match="select less"):
        parse("a=".ljust(LONGEST + 1, "é"))


def test_a_term_is_taken_back() -> None:
    assert without("true=3;rows=1", "true") == "rows=1"
    assert written(parse("a=1;b=2")) == "a=1;b=2"


def test_in_words(seen: Case) -> None:
    said = dict(told(seen, "true=1;part=wrong_same;student confidence=0.2..0.5;rows=1+2;box.embedding=0,1,0,1"))
    assert said == {
        "true": "is class 1",
        "part": "both wrong, same answer",
        "student confidence": "student confidence from 0.2 to 0.5",
        "rows": "2 rows",
        "box.embedding": "a box in the embedding",
    }


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nonsense", "reads key=value"),
        ("colour=red", "colour"),
        ("true=9", "numbered 0 to 3"),
        ("true=shirt", "Whole numbers"),
        ("part=both", "both_right"),
        ("brightness=dark", "Numbers are needed"),
        ("box.embedding=1,2", "A box reads"),
        ("box.umap=0,1,0,1", "no plane named"),
        ("true=1;" * 200, "at most 1000 characters"),
    ],
)
def test_what_makes_no_sense_is_said_and_selects_nothing(seen: Case, text: str, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        mask(seen, text)
    assert chosen(seen, text) is None


def test_a_panel_leaves_out_what_it_is_about_itself(seen: Case) -> None:
    assert (chosen(seen, "part=teacher_only;true=1", "part") == mask(seen, "true=1")).all()  # type: ignore[union-attr]
    assert chosen(seen, "part=teacher_only", "part", "true") is None
    assert (value("true=1;part=wrong_same", "part"), value("true=1", "part"), value("nonsense", "part")) == (
        "wrong_same",
        None,
        None,
    )
