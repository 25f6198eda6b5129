"""Has the keyboard reach whatever scrolls within a page: code, equations and tables that are too wide."""

from __future__ import annotations

import streamlit as st

from app.live.routes import module

_component = st.components.v2.component(
    "kdlab_reach",
    js=f"""
    export default async () => {{
        const {{ reach }} = await import({module("reach")});
        reach();
    }};
    """,
    isolate_styles=False,
)


def everywhere() -> None:
    """Keep an eye on the page that is drawn."""
    with st.container(key="reach"):
        _component(key="reach component")
