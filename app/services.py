"""Somebody else's teacher in the form: a file that is uploaded, or a server that is named."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import forms, order_link, state
from app.link import Settings
from app.order_link import OURS, SERVICE
from kdcore import uploads
from kdcore.orders import Order

FILE = f"{SERVICE}.file"
KINDS = {"onnx": "onnx", "weights": "safetensors"}  # what is uploaded for a teacher
MEANING = {
    "onnx": "A model in one ONNX file. It is tried in a process of its own before it is asked anything.",
    "http": "A model behind a server that speaks the Open Inference Protocol, such as Triton, KServe or MLServer. Only "
    "hosts named in KDLAB_HOSTS are called, and this machine.",
    "weights": "Weights in safetensors for a network that KD Lab knows.",
}
TITLES = {"model": "Model", "model_knobs": "The network's knobs", "url": "Address", "version": "Version"}
MISSING = {"file": "its file: upload one", "model": "the model's name on that server: fill it in"}


def service(settings: Settings) -> None:
    """What must be told of the chosen teacher, and what may be."""
    name = str(settings[SERVICE])
    if name == OURS:
        return
    st.caption(MEANING.get(name, ""))
    if FILE in settings:
        _uploader(settings, KINDS[name])
    base = order_link.complete({SERVICE: name})
    keys = [key for key in settings if key.startswith(f"{SERVICE}.") and key != FILE]
    first = [key for key in keys if base[key] == "" or key == f"{SERVICE}.url"]
    _fields(settings, base, first)
    with st.expander("How it is asked", key="more service"):
        _fields(settings, base, [key for key in keys if key not in first])


def _fields(settings: Settings, base: Settings, keys: list[str]) -> None:
    for key in keys:
        title = TITLES.get(key.partition(".")[2])
        forms.field(key, order_link.field_of(settings, key), settings[key], base[key], title)


def _uploader(settings: Settings, kind: str) -> None:
    """A file is kept under the digest of its content, and the setting becomes its name."""
    key = f"upload {kind}"
    st.file_uploader(
        f"Its file (.{kind})",
        type=[kind],
        key=key,
        on_change=state.attempt,
        args=(partial(_keep, key, kind),),
        help="It is kept on this server and never unpickled. Large files: `kdlab upload FILE` prints a name to use.",
    )
    if settings[FILE]:
        st.caption(f"Kept as `{settings[FILE]}`.")


def _keep(key: str, kind: str) -> None:
    given = state.component(key)
    if given is not None:
        state.put(FILE, uploads.keep(given.getvalue(), kind))


def lacking(order: Order) -> str | None:
    """What somebody else's teacher still needs, in one sentence."""
    if order.service is None:
        return None
    knobs = order.service.knobs
    needed = ("file",) if "file" in knobs else ("model",) if order.service.name == "http" else ()
    missing = next((knob for knob in needed if not knobs[knob]), None)
    return None if missing is None else f"Somebody else's teacher needs {MISSING[missing]}."
