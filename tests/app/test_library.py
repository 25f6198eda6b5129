"""The register counts what it says it counts, finds what it holds, and is honest about what runs."""

from collections import Counter
from pathlib import Path

import pytest
from typer.main import get_group

from app.cli import cli
from app.library import CONFIDENCE, WAVES, beside, command_of, find, library, method_of, papers, place, status
from kdcore.registry import METHODS


def test_counts_by_kind_wave_and_confidence() -> None:
    rows = library().rows
    assert (len(rows), papers(rows)) == (132, 131)
    assert Counter(row.kind for row in rows) == {
        "method": 58,
        "language method": 22,
        "diagnostic": 14,
        "data": 9,
        "reading card": 29,
    }
    assert sum(row.kind == "method" and row.wave == 1 for row in rows) == 27
    assert Counter(row.confidence for row in rows) == {"A": 43, "B": 18, "C": 42, "D": 29}


def test_the_reading_list_is_whole() -> None:
    numbered = [int(row.id) for row in library().rows if row.id.isdecimal()]
    assert numbered == list(range(1, 120))
    assert len({row.id for row in library().rows}) == 132


def test_every_row_explains_itself() -> None:
    for row in library().rows:
        assert row.title
        assert row.mechanism
        assert row.shows
        assert row.track in library().tracks
        assert row.confidence in CONFIDENCE
        assert row.wave in WAVES or (row.wave is None and row.kind == "reading card"), row.id
        assert row.same_as is None or any(other.id == row.same_as for other in library().rows)


def test_names_are_used_once() -> None:
    names = [row.name for row in library().rows if row.name]
    assert len(set(names)) == len(names)
    assert not set(names) & {baseline.name for baseline in library().baselines}


def test_a_row_runs_exactly_when_its_method_is_registered_or_a_command_does_it() -> None:
    for row in (*library().rows, *library().baselines):
        runs = method_of(row) is not None or command_of(row) is not None
        assert (status(row) == "runs here") == runs
        assert method_of(row) in {None, *METHODS}


def test_baselines_are_listed_apart() -> None:
    names = [row.name for row in library().baselines]
    assert names[:6] == ["ce", "label_smoothing", "hard_label", "kd", "dkd", "at"]
    assert set(names[6:]) == {
        *("swap_la", "rc", "lr", "mlkd", "dist", "dml", "crd", "reviewkd", "simkd"),
        *("mimic", "db3kd"),
        *("ofd", "fcfd"),
    }


def test_search_reaches_what_stands_beside_the_list() -> None:
    assert [row.name for row in beside("mutual learning")] == ["dml"]
    assert [row.name for row in beside(statuses=["not built yet"])] == ["fcfd"]
    assert len(beside()) == len(library().baselines)
    for row in library().baselines:  # the Methods page points at a card by its paper
        assert row in beside(row.paper)
        assert not find(row.paper)


def test_a_method_has_one_place_or_none() -> None:
    assert place("fitnet") == find("fitnets hints")[0]
    assert place("crd") in library().baselines
    assert place("no_such_method") is None


def test_what_runs_says_nothing_of_what_is_missing() -> None:
    told = [row for row in (*library().rows, *library().baselines) if row.here]
    assert {row.name for row in told if not command_of(row)} == {"dho", "trg", "wcord", "kdaif", "stablekd", "fcfd"}
    assert [status(row) for row in told if not command_of(row)] == ["not built yet"] * 6
    assert all(row.here and row.here.endswith(".") for row in told)


def test_a_command_is_one_that_there_is() -> None:
    commands = {row.id: row.command.split() for row in library().rows if row.command}
    assert {"23", "55", "98"} == set(commands)
    for kdlab, verb, what in commands.values():
        assert kdlab == "kdlab"
        assert verb in get_group(cli).commands
        assert what == "RUN" or Path(what).is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fitnets hints", ["52"]), ("S000", ["S000"]), ("no such words", []), ("inversion wall", ["S000"])],
)
def test_search_wants_every_word(text: str, expected: list[str]) -> None:
    assert [row.id for row in find(text)] == expected


def test_filters_narrow_and_partition() -> None:
    assert len(find()) == 132
    assert sum(len(find(kinds=[kind])) for kind in {row.kind for row in library().rows}) == 132
    assert sum(len(find(statuses=[word])) for word in ("runs here", "reading card", "not built yet")) == 132
    cards = find(kinds=["reading card"], confidence=["D"])
    assert cards == find(confidence=["D"])
    assert all(row.track == "BB" for row in find(tracks=["BB"]))


def test_the_repeated_row_follows_the_one_it_repeats() -> None:
    repeated = next(row for row in library().rows if row.same_as)
    original = next(row for row in library().rows if row.id == repeated.same_as)
    assert (repeated.id, original.name) == ("N001d", "uld")
    assert method_of(repeated) == method_of(original)
