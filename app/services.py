"""Somebody else's model in a form: a file that is uploaded, or a server that is named."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import forms, state
from app.link import Settings
from app.order_link import OURS, SERVICE
from kdcore import uploads
from kdcore.orders import Order
from kdcore.spec import Json

KINDS = {"onnx": "onnx", "weights": "safetensors"}  # what is uploaded for a teacher
MEANING = {
    "onnx": "A model in one ONNX file. It is tried in a process of its own before it is asked anything. If it answers "
    "with class numbers, it tells labels alone.",
    "http": "A model behind a server that speaks the Open Inference Protocol, such as Triton, KServe or MLServer. If "
    "it answers with class numbers, it tells labels alone. Only hosts named in KDLAB_HOSTS are called, and this "
    "machine.",
    "weights": "Weights in safetensors for a network that KD Lab knows.",
}
TITLES = {
    "model": "Model",
    "model_knobs": "The network's knobs",
    "url": "Address",
    "version": "Version",
    "std": "Standard deviation",
    "binary": "Tensors as bytes",
    "batch": "Images in a request, at most",
    "timeout_s": "Seconds for an answer, at most",
    "retries": "Tries after the first",
    "rate_per_s": "Requests a second, at most",
}
MISSING = {"file": "its file: upload one", "model": "the model's name on that server: fill it in"}


def service(settings: Settings) -> None:
    """What must be told of the chosen teacher, and what may be."""
    if str(settings[SERVICE]) != OURS:
        pieces(SERVICE, settings)


def pieces(part: str, settings: Settings) -> None:
    """The fields of the model that stands under `part` in the settings of the page of now; its file first."""
    name, codec = str(settings[part]), state.codec()
    st.caption(MEANING.get(name, ""))
    file = f"{part}.file"
    if file in settings:
        _uploader(file, settings[file], KINDS[name])
    base = codec.complete({part: name})
    keys = [key for key in settings if key.startswith(f"{part}.") and key != file]
    first = [key for key in keys if base[key] == "" or key == f"{part}.url"]
    _fields(settings, base, first)
    with st.expander("How it is asked", key=f"more {part}"):
        _fields(settings, base, [key for key in keys if key not in first])


def _fields(settings: Settings, base: Settings, keys: list[str]) -> None:
    for key in keys:
        title = TITLES.get(key.partition(".")[2])
        forms.field(key, state.codec().field_of(settings, key), settings[key], base[key], title)


def _uploader(setting: str, kept: Json, kind: str) -> None:
    """A file is kept under the digest of its content, and the setting becomes its name."""
    key = f"upload {setting} {kind}"
    st.file_uploader(
        f"Its file (.{kind})",
        type=[kind],
        key=key,
        on_change=state.attempt,
        args=(partial(_keep, setting, key, kind),),
        help="It is kept on this server and never unpickled. Large files: `kdlab upload FILE` prints a name to use.",
    )
    if kept:
        st.caption(f"Kept as `{kept}`.")


def _keep(setting: str, key: str, kind: str) -> None:
    given = state.component(key)
    if given is not None:
        state.put(setting, uploads.keep(given.getvalue(), kind))


def lacking(order: Order) -> str | None:
    """What somebody else's teacher still needs, in one sentence."""
    if order.service is None:
        return None
    knobs = order.service.knobs
    needed = ("file",) if "file" in knobs else ("model",) if order.service.name == "http" else ()
    missing = next((knob for knob in needed if not knobs[knob]), None)
    return None if missing is None else f"Somebody else's teacher needs {MISSING[missing]}."
