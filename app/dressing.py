"""Has a page drawn anew where Streamlit would leave it half changed until the next click."""

from __future__ import annotations

import streamlit as st

from app.live.routes import SCRIPTS
from app.theme import Theme

_theme = st.components.v2.component(
    "kdlab_theme",
    js=f"""
    export default async ({{ data, parentElement, setTriggerValue }}) => {{
        const {{ shade }} = await import(`${{location.origin}}{SCRIPTS}/shade.js`);
        if (shade(parentElement) !== data) setTriggerValue("theme", shade(parentElement));
    }};
    """,
    isolate_styles=False,
)
_sidebar = st.components.v2.component(
    "kdlab_sidebar",
    js="""
    export default ({ setTriggerValue }) => {
        const look = setInterval(() => {
            const sidebar = document.querySelector(".stSidebar");
            if (sidebar?.querySelector(".stElementContainer")) return; // it empties at the script's end
            clearInterval(look);
            if (sidebar) setTriggerValue("left", true);
        }, 200);
        return () => clearInterval(look);
    };
    """,
    isolate_styles=False,
)


def follow(drawn: Theme) -> None:
    """Ask for a rerun where the page is not in the theme it was drawn for; a live view does so by itself."""
    _theme(key="theme", data=drawn, on_theme_change=_nothing)


def bare() -> None:
    """Ask for a rerun where the last page's sidebar stays, empty, on a page that has none: it goes with that run."""
    _sidebar(key="sidebar", on_left_change=_nothing)


def _nothing() -> None:
    """A component that reports something must be given a callback."""
