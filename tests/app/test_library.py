"""The register counts what it says it counts, finds what it holds, and is honest about what runs."""

import re
from collections import Counter
from pathlib import Path

import pytest
from typer.main import get_group

from app.cli import cli
from app.links.inspector import SECTIONS
from app.results.papers import (
    Baseline,
    Row,
    address,
    beside,
    find,
    library,
    method_of,
    original,
    place,
    reference,
    spelled,
    status,
    ways,
)
from app.text import library as words
from kdcore.spec.presets import presets
from kdcore.spec.registry import METHODS, SOURCES


def test_counts_by_kind_wave_and_confidence() -> None:
    rows = library().rows
    assert (len(rows), len({original(row).id for row in rows})) == (132, 131)
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
        assert row.confidence in words.CONFIDENCES
        assert row.wave in {1, 2, 3} or (row.wave is None and row.kind == "reading card"), row.id
        assert row.same_as is None or any(other.id == row.same_as for other in library().rows)


def test_names_are_used_once() -> None:
    names = [row.name for row in library().rows if row.name]
    assert len(set(names)) == len(names)
    assert not set(names) & {baseline.name for baseline in library().baselines}


def test_a_row_runs_exactly_when_something_is_there_that_runs_it() -> None:
    for row in (*library().rows, *library().baselines):
        assert (status(row) == "runs here") == bool(ways(row))
        assert method_of(row) in {None, *METHODS}


def test_what_a_row_points_at_exists() -> None:
    commands = get_group(cli).commands
    for row in library().rows:
        found = ways(row)
        assert found.get("source", "data") in SOURCES, row.id
        assert found.get("source", "quick") in {*presets()}, row.id  # the Black box page opens it
        assert found.get("section", "where") in SECTIONS, row.id
        for way in ("study", "command"):
            kdlab, verb, what = found.get(way, "kdlab show RUN").split()
            assert (kdlab, verb in commands) == ("kdlab", True), row.id
            assert what == "RUN" or Path(what).is_file(), row.id


@pytest.mark.parametrize(
    ("row", "way", "what"),
    [
        ("4", "source", "zo_inversion"),
        ("69", "source", "dfad"),
        ("78", "section", "where"),
        ("103", "section", "inside"),
        ("98", "study", "kdlab study assets/studies/pruning.yaml"),
        ("23", "command", "kdlab mimic RUN"),
        ("52", "method", "fitnet"),
    ],
)
def test_what_runs_a_row_may_be_of_any_kind(row: str, way: str, what: str) -> None:
    found = next(one for one in library().rows if one.id == row)
    assert status(found) == "runs here"
    assert ways(found)[way] == what


def plain(text: str) -> str:
    """Words alone, so that a title is found across line breaks."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def cited(row: Row | Baseline, texts: dict[Path, str]) -> list[Path]:
    """The files that name a row's paper by its title, or by a half of it that is long enough to be meant."""
    halves = [half for half in row.title.split(": ") if len(half) > 25]
    names = [plain(name) for name in (row.title, *halves)]
    return [path for path, text in texts.items() if any(name in text for name in names)]


def test_a_paper_that_anything_here_cites_as_its_source_runs() -> None:
    """Whoever writes a method, source, study or section after a paper of the Library links its row."""
    parts = [
        *(
            f"kdcore/{part}/*.py"
            for part in ("methods", "sources", "comparison", "comparison/tasks", "mimics", "probes")
        )
    ]
    files = [path for part in (*parts, "app/inspector/*.py", "assets/studies/*.yaml") for path in Path().glob(part)]
    texts = {path: plain(path.read_text()) for path in files}
    assert len(texts) > 100
    found = {row.id: cited(row, texts) for row in library().rows}
    assert sum(map(bool, found.values())) > 40
    assert [(row.id, found[row.id]) for row in library().rows if found[row.id] and status(row) != "runs here"] == []


def test_a_method_or_source_of_a_rows_name_is_its_own() -> None:
    for row in library().rows:
        if row.name in {*METHODS, *SOURCES}:
            assert row.name in ways(row).values()


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
    assert [row.name for row in beside(statuses=["not implemented"])] == ["fcfd"]
    assert len(beside()) == len(library().baselines)
    for row in library().baselines:  # the Methods page points at a card by its paper
        assert row in beside(row.paper)
        assert not find(row.paper)


def test_a_method_has_one_place_or_none() -> None:
    assert place("fitnet") == find("fitnets hints")[0]
    assert place("crd") in library().baselines
    assert place("no_such_method") is None


def test_what_is_missing_is_said_where_it_is_missing() -> None:
    told = [row for row in (*library().rows, *library().baselines) if row.here]
    absent = {row.name for row in told if status(row) == "not implemented"}
    assert absent == {"dho", "trg", "wcord", "kdaif", "stablekd", "fcfd", "privacy_filter"}
    assert all("issing" in str(row.here) for row in told if row.name in absent)
    assert all(row.here and row.here.endswith(".") for row in told)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fitnets hints", ["52"]), ("S000", ["S000"]), ("no such words", []), ("inversion wall", ["S000"])],
)
def test_search_wants_every_word(text: str, expected: list[str]) -> None:
    assert [row.id for row in find(text)] == expected


def test_filters_narrow_and_partition() -> None:
    assert len(find()) == 132
    assert sum(len(find(kinds=[kind])) for kind in {row.kind for row in library().rows}) == 132
    assert sum(len(find(statuses=[word])) for word in ("runs here", "reading card", "not implemented")) == 132
    cards = find(kinds=["reading card"], confidence=["D"])
    assert cards == find(confidence=["D"])
    assert all(row.track == "BB" for row in find(tracks=["BB"]))


def test_the_repeated_row_follows_the_one_it_repeats() -> None:
    repeated = next(row for row in library().rows if row.same_as)
    original = next(row for row in library().rows if row.id == repeated.same_as)
    assert (repeated.id, original.name) == ("N001d", "uld")
    assert method_of(repeated) == method_of(original)


def test_a_card_says_in_two_sentences_what_it_is_and_why_one_would_use_it() -> None:
    for row in (*library().rows, *library().baselines):
        sentences = re.split(r"(?<=[.:]) (?=[A-Z])", row.says)
        assert len(sentences) == 2 or ("Read it" in row.says or "Use it" in row.says), row.title
        assert row.says.endswith(".")
        assert 60 < len(row.says) < 360, row.title
        assert not re.search(r"\bD\d+\b|\brow \d", row.says)


def test_codes_of_panels_and_rows_are_spelled_out() -> None:
    assert spelled("map of the walls; D10") == "map of the walls; inversion audit"
    assert spelled("The toy of N000d") == (
        "The toy of \u201cPeak-Controlled Logits Poisoning Attack in Federated Distillation\u201d"
    )
    for row in (*library().rows, *library().baselines):
        assert not re.search(r"\b(D\d+|N\d{3}[a-z])\b", spelled(row.shows) + spelled(row.mechanism))


def test_a_card_names_authors_and_leads_to_the_paper() -> None:
    rkd, mekd = (next(row for row in library().rows if row.name == name) for name in ("rkd", "mekd"))
    assert reference(rkd) == "Park, Kim, Lu and Cho, CVPR 2019"
    assert address(mekd) == "https://arxiv.org/abs/2205.10490"
    survey = next(row for row in library().rows if row.id == "31")
    assert reference(survey) == ""
    assert address(survey) == "https://scholar.google.com/scholar?q=Knowledge+Distillation%3A+A+Survey"
