"""A setting of the form as a widget: its field's kind and bounds decide which, its description is the help."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from app import state
from app.links import lab
from app.links.lab import Settings
from app.text.formulas import plain
from app.text.phrases import verbatim
from kdcore.spec.schedule import Json

WORDS = {"lr": "learning rate", "kd": "KD", "kl": "KL", "tckd": "TCKD", "nckd": "NCKD"}
ACCESS = {
    "white_box": "Everything (white box)",
    "logits": "Logits",
    "probabilities": "Probabilities",
    "labels": "Labels only",
}
FEW = 4  # options that fit side by side
SHORT = 24  # characters that fit side by side


def title_of(key: str, info: FieldInfo | None = None) -> str:
    """A setting's name as people read it, unique on a page, with its symbol in the method's equation."""
    if info and info.title:
        return info.title
    name = "Training temperature" if key == "method.temperature" else label(key.rpartition(".")[2])
    return f"{name} {symbol}" if (symbol := symbol_of(info)) else name


def symbol_of(info: FieldInfo | None) -> str:
    """Return a knob's symbol in the method's equation, in plain Unicode; "" where it has none."""
    extra = info.json_schema_extra if info else None
    return plain(str(extra["symbol"])) if isinstance(extra, dict) and "symbol" in extra else ""


def label(name: str) -> str:
    """A knob's name as people read it."""
    words = " ".join(WORDS.get(word, word) for word in name.split("_"))
    return words[:1].upper() + words[1:]


def bounds(info: FieldInfo) -> tuple[float | None, float | None]:
    """The ends of what a numeric field takes; it may leave out an end itself, which `checked` refuses.

    A browser tells them in words of its own, where the float next to 0 would read 5e-324.
    """
    lower = upper = None
    whole = info.annotation is int
    for rule in info.metadata:
        lower = getattr(rule, "ge", lower)
        upper = getattr(rule, "le", upper)
        if hasattr(rule, "gt"):
            lower = rule.gt + whole
        if hasattr(rule, "lt"):
            upper = rule.lt - whole
    return lower, upper


def step_of(default: float, upper: float | None) -> float:
    """A step that moves the default by a tenth to a half of itself: a power of ten."""
    size = abs(default) or abs(upper or 1.0) / 10
    return float(10.0 ** math.floor(math.log10(size / 2)))


def help_of(info: FieldInfo, default: Json) -> str:
    """What a knob means, its default and its bounds."""
    parts = [info.description or "", f"Default {shorten(lab.encode(default))}."]
    if info.annotation in (int, float):
        low, high = bounds(info)
        begins = "Above" if _open(info) else "From"
        parts += [f"{begins} {low:.4g}" + (f" to {high:.4g}." if high is not None else ".")] if low is not None else []
        parts += [f"A multiple of {multiple(info):g}."] if multiple(info) else []
    return " ".join(part for part in parts if part)


def _open(info: FieldInfo) -> bool:
    """Whether a field's values begin above its lower bound."""
    return info.annotation is float and any(hasattr(rule, "gt") for rule in info.metadata)


def shorten(text: str, length: int = 60) -> str:
    """The text, cut where it gets long."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def field(key: str, info: FieldInfo, value: Json, default: Json) -> None:
    """One setting, marked where it differs from its default."""
    name = title_of(key, info)
    shared: dict[str, Any] = {
        "label": name if value == default else f"{name} · changed",
        "help": help_of(info, default),
        "on_change": state.changed,
    }
    if get_origin(info.annotation) is Literal:
        _options(key, get_args(info.annotation), value, shared)
    elif info.annotation is bool:
        st.toggle(key=state.widget(key, value), args=(key, bool), **shared)
    elif info.annotation in (int, float):
        _number(key, info, value, default, shared)
    else:
        st.text_input(key=state.widget(key, lab.encode(value)), args=(key, reader(key, info)), **shared)
    unread(key)


def unread(key: str) -> None:
    """Why what was typed for a setting cannot be taken, below its field."""
    if found := state.draft(key):
        st.error(verbatim(found.says))


def _options(key: str, options: tuple[Any, ...], value: Json, shared: dict[str, Any]) -> None:
    shared |= {"key": state.widget(key, value), "args": (key, _same), "options": options, "format_func": str}
    if len(options) <= FEW and len("".join(map(str, options))) <= SHORT:
        st.segmented_control(required=True, **shared)
    else:
        st.selectbox(**shared)


def _number(key: str, info: FieldInfo, value: Any, default: Any, shared: dict[str, Any]) -> None:
    kind: Callable[[float], float] = int if info.annotation is int else float
    low, high = bounds(info)
    step = multiple(info) or (step_of(default, high) if default or kind is float else 1.0)
    st.number_input(
        min_value=None if low is None else kind(low),
        max_value=None if high is None else kind(high),
        step=max(1, int(step)) if kind is int else step,
        format="%d" if kind is int else "%g",
        key=state.widget(key, kind(value)),
        args=(key, lambda number: checked(key, info, kind(number) if kind is int else tidy(number))),
        **shared,
    )


def checked(key: str, info: FieldInfo, number: float) -> Json:
    """The number, where the setting takes it.

    Raises:
        BadInput: it is within the bounds and yet none of its values, such as an odd number of an even setting, or 0
            of one that is to be above it.
    """
    value: Json = lab.decode(lab.encode(number), info, f"{title_of(key, info)!r}")
    return value


def multiple(info: FieldInfo) -> float | None:
    """What a field's values are multiples of, where they are."""
    return next((rule.multiple_of for rule in info.metadata if hasattr(rule, "multiple_of")), None)


def tidy(value: float) -> float:
    """The number without the dust that adding steps leaves behind."""
    return float(f"{value:.12g}")


def reader(key: str, info: FieldInfo) -> Callable[[str], Json]:
    """Reads a typed text as the setting's value; what it cannot read is a BadInput."""
    return lambda text: lab.decode(text.strip(), info, f"{title_of(key, info)!r}")


def _same(value: Json) -> Json:
    return value


def fields(settings: Settings, keys: Iterable[str]) -> None:
    """Several settings of the form, one below the other."""
    base = lab.complete({part: settings[part] for part in lab.KINDS})
    for key in keys:
        field(key, lab.field_of(settings, key), settings[key], base[key])


def fold(title: str, key: str, show: Callable[[], None]) -> None:
    """What not everybody needs, folded away and made once it is unfolded: a browser builds what it hides, too.

    Args:
        title: what is in it; another one would be another fold, and folded.
        key: its own.
        show: puts it there.
    """
    with st.expander(title, key=key, on_change="rerun") as folded:
        if folded.open:
            show()


def access(settings: Settings, title: str) -> None:
    """What the teacher grants."""
    st.selectbox(
        title,
        list(ACCESS),
        format_func=ACCESS.__getitem__,
        key=state.widget("access", settings["access"]),
        on_change=state.changed,
        args=("access", str),
        help="A method can only use what the teacher exposes; many web APIs return labels only.",
    )


def differing(settings: Settings, keys: Iterable[str]) -> int:
    """How many of these settings differ from their defaults."""
    changed = lab.changed(settings)
    return sum(key in changed for key in keys)
