"""Somebody else's model in a form: a file that is uploaded, or a server that is named."""

from __future__ import annotations

import streamlit as st

from app import state
from app.forms import fields
from app.links.black_box import OURS, SERVICE
from app.links.lab import Settings
from kdcore.blackbox.orders import Order
from kdcore.files import uploads
from kdcore.spec.catalogue import entry
from kdcore.spec.schedule import Json
from kdcore.upload_checks.on_upload import receive


def service(settings: Settings) -> None:
    """What must be told of the chosen teacher, and what may be."""
    if str(settings[SERVICE]) != OURS:
        pieces(SERVICE, settings)


def pieces(part: str, settings: Settings) -> None:
    """The fields of the model that stands under `part` in the settings of the page of now; its file first."""
    name, codec = str(settings[part]), state.codec()
    one = entry("teacher", name)
    st.caption(one["says"])
    file = f"{part}.file" if one["upload"] else ""
    if file:
        _uploader(file, settings[file], one["upload"])
    base = codec.complete({part: name})
    keys = [key for key in settings if key.startswith(f"{part}.") and key != file]
    first = [key for key in keys if base[key] == "" or key.partition(".")[2] in one["required"]]
    _fields(settings, base, first)
    more = [key for key in keys if key not in first]
    with st.expander(
        "Connection and input settings", key=f"more {part}"
    ):  # fields that are not there would forget what is typed
        _fields(settings, base, more)


def _fields(settings: Settings, base: Settings, keys: list[str]) -> None:
    for key in keys:
        fields.field(key, state.codec().field_of(settings, key), settings[key], base[key])


def _uploader(setting: str, kept: Json, kind: str) -> None:
    """A file is tried, kept under the digest of its content, and the setting becomes its name."""
    key = f"upload {setting} {kind}"
    st.file_uploader(
        f"Its file (.{kind})",
        type=[kind, *(uploads.PICKLES if kind == "safetensors" else ())],
        key=key,
        on_change=_keep,
        args=(setting, key, kind),
        help="It is kept on this server and never unpickled. Large files: `kdlab upload FILE` prints a name to use.",
    )
    fields.unread(setting)
    if kept:
        st.caption(f"Kept as `{kept}`.")


def _keep(setting: str, key: str, kind: str) -> None:
    given, before = state.component(key), state.shown().settings[setting]
    state.propose(setting, before, lambda _: before if given is None else receive(given.getvalue(), kind))


def lacking(order: Order) -> str | None:
    """What somebody else's teacher still needs, in one sentence."""
    if order.service is None:
        return None
    required: dict[str, str] = entry("teacher", order.service.name)["required"]
    missing = next((says for knob, says in required.items() if not order.service.knobs[knob]), None)
    return None if missing is None else f"An external teacher requires {missing}."
