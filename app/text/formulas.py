"""Formulas in the texts of our own catalogue: inline LaTeX between dollar signs, shown as Markdown or plain Unicode."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import Any

from app.text.lab import DIFFERENCES, ZERO
from app.text.phrases import verbatim

ORIGIN = {"source": "Source", "departs": DIFFERENCES, "zero_when": ZERO}
MATH = re.compile(r"\$([^$]+)\$")
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
SYMBOLS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "eta": "η",
    "theta": "θ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ",
    "omega": "ω", "ell": "ℓ",
    "sum": " Σ", "cdot": "·", "times": "×", "odot": "⊙", "ge": "≥", "le": "≤", "ne": "≠", "in": "∈", "vee": "∨",
    "approx": "≈", "sim": "∼", "to": "→", "leftrightarrow": "↔", "dots": "…", "top": "ᵀ", "infty": "∞", "nabla": "∇",
    "lVert": "‖", "rVert": "‖", "langle": "⟨", "rangle": "⟩", "lceil": "⌈", "rceil": "⌉",
    "quad": " ", "big": "", "Big": "", "left": "", "right": "", "displaystyle": "",
}  # fmt: skip
ESCAPES = {",": " ", " ": " ", "|": "‖", "{": "{", "}": "}", "%": "%", "\\": "; ", "_": "_"}
ACCENTS = {"bar": "\u0304", "hat": "\u0302", "tilde": "\u0303"}
FUNCTIONS = ("log", "exp", "cos", "cosh", "max", "min", "arg")
TEXTS = ("mathrm", "mathcal", "mathbf", "mathbb", "text", "operatorname")
OPENING = ("lVert", "langle", "lceil")
RAISED = dict(zip("0123456789+-=()inᵀ", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿᵀ", strict=True))
LOWERED = dict(zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))


def markdown(text: str) -> str:
    """Return a text of the catalogue as Markdown: one line to a paragraph, formulas kept, all else escaped."""
    parts = MATH.split(text)
    shown = "".join(f"${part}$" if place % 2 else verbatim(part) for place, part in enumerate(parts))
    return re.sub(r"(?<!\n)\n(?!\n)", " ", shown)


def origin(entry: Mapping[str, Any]) -> str:
    """Return as Markdown where a method comes from, how it differs from there, and when its loss is zero."""
    return "\n\n".join(f"**{title}:** {markdown(entry[key])}" for key, title in ORIGIN.items())


def text(words: str) -> str:
    """Return a text of the catalogue for a terminal: formulas in plain Unicode, at most 120 characters to a line."""
    paragraphs = MATH.sub(lambda found: plain(found[1]), words).split("\n\n")
    return "\n\n".join(textwrap.fill(one, 120, break_on_hyphens=False) for one in paragraphs)


def plain(latex: str) -> str:
    r"""Return a formula in plain Unicode, such as "λ CE(zₛ, y)" for `\lambda\,\mathrm{CE}(z_s, y)`.

    Raises:
        ValueError: it holds a command that is not known here, or its braces do not match.
    """
    found = _Reader(TOKEN.findall(latex)).run()
    found = re.sub(r"\s+([,;)⟩]|‖[₀-₉²])", r"\1", re.sub(r"([(⟨])\s+", r"\1", found))
    return re.sub(r"\s+", " ", found).strip()


class _Reader:
    """Reads tokens of LaTeX from left to right."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens[::-1]  # the next one is the last

    def run(self, within: bool = False) -> str:
        """Everything up to the end, or to the brace that closes a group."""
        shown = ""
        while self._tokens:
            token = self._tokens.pop()
            if token == "}":
                if within:
                    return shown
                break
            shown += self._shown(token)
        else:
            if not within:
                return shown
        raise ValueError("The braces of a formula do not match.")

    def _argument(self) -> str:
        self._skip()
        if not self._tokens:
            raise ValueError("A formula ends where an argument is missing.")
        return self._shown(self._tokens.pop())

    def _shown(self, token: str) -> str:
        if token == "{":
            return self.run(within=True)
        if token in ("^", "_"):
            index = _index(self._argument(), token)
            word = len(index) > 2 and index[-1].isalpha() and index.isascii()
            return f"{index} " if word and self._tokens and re.match(r"\\[A-Za-z]", self._tokens[-1]) else index
        if token == "'":
            return "′"
        if token == "&":
            return ", "
        return self._command(token[1:]) if token[0] == "\\" else token

    def _command(self, name: str) -> str:
        if name in TEXTS:
            return self._argument()
        if name in FUNCTIONS:
            return f"{name} " if self._tokens and re.match(r"[^\W_]|\\[A-Za-z]", self._tokens[-1]) else name
        if name in ACCENTS:
            return self._argument() + ACCENTS[name]
        if name in ("frac", "tfrac"):
            return f" {_grouped(self._argument())}/{_grouped(self._argument())} "
        if name == "sqrt":
            return f"√{_grouped(self._argument())}"
        if name in ("begin", "end"):
            self._argument()
            return "{" if name == "begin" else "}"
        known = SYMBOLS | ESCAPES
        if name not in known:
            raise ValueError(f"A formula has the command {name!r}, which has no plain form yet.")
        if name in OPENING:
            self._skip()
        return known[name]

    def _skip(self) -> None:
        while self._tokens and self._tokens[-1].isspace():
            self._tokens.pop()


def _index(shown: str, token: str) -> str:
    """Return an index above or below, in small characters where all of it has them."""
    small = RAISED if token == "^" else LOWERED
    if all(character in small for character in shown):
        return "".join(small[character] for character in shown)
    return f"{token}{shown}" if shown.isalnum() or len(shown) == 1 else f"{token}({shown})"


def _grouped(shown: str) -> str:
    """Return a part of a fraction, in parentheses where it is more than one factor."""
    shown = shown.strip()
    whole = re.fullmatch(r"⟨[^⟨⟩]*⟩|[|][^|]*[|]|[^\s+\-/,·]*", shown) and not re.match(r"\d[A-Za-zα-ω]", shown)
    return shown if whole else f"({shown})"
