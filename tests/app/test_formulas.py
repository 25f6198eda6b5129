"""Formulas in the catalogue's texts: balanced, plain on a terminal, and the symbols that knobs share with equations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.cli import main
from app.forms import fields
from app.text import formulas
from kdcore.spec.catalogue import catalogue, entry, knobs_model
from kdcore.spec.registry import METHODS

PROSE = ("doc", "source", "departs", "zero_when")


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in the catalogue, with its kind."""
    return ((kind, one) for kind, found in catalogue().items() for one in found.values())


def prose() -> Iterator[tuple[str, str]]:
    """Every text of the catalogue with where it stands."""
    for kind, one in entries():
        yield from ((f"{kind} {one['name']} {key}", one[key]) for key in PROSE if key in one)
        for name, knob in one["schema"].get("properties", {}).items():
            yield f"{kind} {one['name']} knob {name}", knob.get("description", "")


def tokens(latex: str) -> list[str]:
    return formulas.TOKEN.findall(latex.replace(" ", ""))


def holds(latex: str, part: str) -> bool:
    """Whether a formula holds a part of it, token by token."""
    whole, sought = tokens(latex), tokens(part)
    return any(whole[place : place + len(sought)] == sought for place in range(len(whole)))


def test_formulas_are_balanced_and_plain_on_a_terminal() -> None:
    for place, words in prose():
        assert words.count("$") % 2 == 0, place
        shown = formulas.text(words)
        assert not re.search(r"[\\${}]", re.sub(r"\{[^\\]*?\}", "", shown)), (place, shown)
    for name in METHODS:
        assert not re.search(r"[\\$]", formulas.plain(METHODS[name].equation)), name


def test_first_sentences_are_words_alone() -> None:
    """They stand in lists, captions and tables, where nothing is typeset."""
    for kind, one in entries():
        assert "$" not in one["doc"].split("\n\n")[0], (kind, one["name"])


@pytest.mark.parametrize(
    ("latex", "plain"),
    [
        (METHODS["kd"].equation, "L = λ CE(zₛ, y) + α T² KL(σ(zₜ/T) ‖ σ(zₛ/T))"),
        (METHODS["lskd"].equation.partition(r"\quad")[2], "Z(z) = (z - z̄)/std(z)"),
        (r"\frac{1}{B}\sum_i (1 - a_i)", "1/B Σᵢ (1 - aᵢ)"),
        (r"P^\top P - \log\frac{M}{N}", "Pᵀ P - log M/N"),
        (r"\lVert F_s - F_t \rVert_2^2 \cdot \tfrac{x}{2T}", "‖Fₛ - Fₜ‖₂² · x/(2T)"),
        (r"T'^2 \sqrt{v_c + 10^{-5}}", "T′² √(v_c + 10⁻⁵)"),
    ],
)
def test_plain_formulas(latex: str, plain: str) -> None:
    assert formulas.plain(latex) == plain


@pytest.mark.parametrize("latex", [r"\unheard", "{x", "x}", r"\frac{1}"])
def test_what_cannot_be_read_is_refused(latex: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        formulas.plain(latex)


def test_markdown_leaves_formulas_alone_and_escapes_the_rest() -> None:
    assert (
        formulas.markdown("a_b *c*\nwith $z_s * T^2$ <b>\n\nnext") == "a\\_b \\*c\\* with $z_s * T^2$ \\<b\\>\n\nnext"
    )


def test_every_symbol_of_a_knob_is_in_the_equation() -> None:
    for name, method in METHODS.items():
        assert method.symbols.keys() <= method.model_fields.keys(), name
        assert len(set(method.symbols.values())) == len(method.symbols), name
        for knob, symbol in method.symbols.items():
            assert holds(method.equation, symbol), (name, knob, symbol)


def test_every_weight_of_labels_and_every_knob_named_like_a_symbol_has_one() -> None:
    for name, method in METHODS.items():
        letters = {knob for knob in method.model_fields if holds(method.equation, f"\\{knob}")}
        letters |= {"label_weight"} & method.model_fields.keys()
        others = set(method.symbols.values())
        lacking = {
            knob for knob in letters - method.symbols.keys() if not any(one.startswith(f"\\{knob}") for one in others)
        }
        assert lacking == set(), name


def test_labels_carry_the_symbol() -> None:
    model = knobs_model("method", "kd").model_fields
    assert fields.title_of("method.label_weight", model["label_weight"]) == "Label weight λ"
    assert fields.title_of("method.temperature", model["temperature"]) == "Training temperature T"
    assert fields.title_of("method.kd_weight", knobs_model("method", "loca").model_fields["kd_weight"]) == (
        "KD weight α_KD"
    )
    assert entry("method", "kd")["schema"]["properties"]["label_weight"]["symbol"] == r"\lambda"


def test_a_method_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "kd"]) == 0
    told = capsys.readouterr().out
    assert "Equation: L = λ CE(zₛ, y) + α T² KL(σ(zₜ/T) ‖ σ(zₛ/T))\nwith T = temperature, λ = label_weight" in told
