"""Has a page drawn anew when it becomes light or dark, of which Streamlit tells Python with the next click only.

Pages with a live view need it not: that asks by itself.
"""

from __future__ import annotations

import streamlit as st

from app.live.routes import module
from app.theme import Theme

_component = st.components.v2.component(
    "kdlab_dressing",
    js=f"""
    export default async ({{ data, parentElement, setTriggerValue }}) => {{
        const {{ shade }} = await import({module("shade")});
        if (shade(parentElement) !== data) setTriggerValue("theme", shade(parentElement));
    }};
    """,
    isolate_styles=False,
)


def follow(drawn: Theme) -> None:
    """Ask for a rerun where the page is not in the theme it was drawn for."""
    _component(key="dressing", data=drawn, on_theme_change=_nothing)


def _nothing() -> None:
    """Do nothing: a component that reports something must be given a callback."""
