"""A Plotly figure on a page, drawn with the library of the live view's cards once it is about to be seen.

Streamlit's own chart brings another copy of that library, and a page that is opened shows nothing while the browser
runs its 4.7 MB, wherever the chart stands.
"""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic_core import to_json

from app import theme
from app.live.routes import PLOTLY, WEB, module
from app.theme import Theme

_component = st.components.v2.component(
    "kdlab_chart",
    css=(WEB / "chart.css").read_text(),
    js=f"""
    export default async (component) => {{
        const {{ mount }} = await import({module("chart")});
        return mount(component);
    }};
    """,
    isolate_styles=False,
)


def chart(figure: dict[str, Any], look: Theme, *, height: int, key: str) -> None:
    """Show a figure {data, layout}.

    Args:
        figure: what Plotly draws; a number that is none becomes a gap.
        look: the theme it was made for.
        height: in px.
        key: the chart's own; while it stays, so does the viewer's zoom.
    """
    data = {
        "figure": to_json(figure, inf_nan_mode="null").decode(),
        "plotly": f"{PLOTLY.lstrip('/')}/plotly.min.js",
        "height": height,
        "paper": theme.PAPER[look],
    }
    _component(key=key, data=data, height=height)
