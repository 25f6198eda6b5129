"""Errors a person caused and can mend. Everything else is a bug and keeps its traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError


class BadInput(ValueError):
    """One sentence: what was wrong, what is allowed, what we got, what to do.

    What it quotes may hold anything: lone surrogates (a file name that is not UTF-8), which no page, database or
    response could take, or what moves a terminal's cursor. It is escaped.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


def printable(text: str) -> str:
    """Return the text with every character that is no sign on paper written as Python escapes it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def unknown(kind: str, name: object, allowed: Iterable[str]) -> BadInput:
    """Return the error for a name that nobody registered, with the nearest one that exists."""
    names = sorted(allowed)
    near = get_close_matches(str(name)[:80].lower(), [known.lower() for known in names], n=1, cutoff=0.5)
    meant = next((known for known in names if near and known.lower() == near[0]), None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    return BadInput(f"There is no {kind} named {shortened(name)}.{hint} Known: {', '.join(names) or 'none yet'}.")


def shortened(value: object, most: int = 80) -> str:
    """Return a value as Python writes it, its middle left out where it is long."""
    return cut(repr(value), most)


def cut(text: str, most: int = 80) -> str:
    """Return a text, its middle left out where it is long."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def gist(error: BaseException, most: int = 120) -> str:
    """Return the first line of what an error says, cut after `most` characters; its kind where it says nothing."""
    return _lines(error)[0][:most]


def upshot(error: BaseException) -> str:
    """Return the last line of it, where torch tells of many things the one that did not fit."""
    return _lines(error)[-1]


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]


def sentence(error: ValidationError, subject: str) -> BadInput:
    """Return the first complaint of a pydantic error as one sentence about `subject`."""
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, BadInput):
        return cause
    where = cut(".".join(str(part) for part in first["loc"]))
    if first["type"] == "extra_forbidden":
        return BadInput(f"{subject} has no setting {where!r}; remove it or check its spelling.")
    got = "" if first["type"] == "missing" else f", but got {shortened(first['input'])}"
    said = cut(first["msg"], 240)  # it may quote what was sent, whole
    return BadInput(f"{subject}: {where or 'the value'} — {said[:1].lower()}{said[1:]}{got}.")
