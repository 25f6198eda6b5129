"""The fixed colours of the Lab: teacher, student and disagreement look the same everywhere, in light and dark.

Hues follow Okabe and Ito's palette for colour-blind readers (Color Universal Design, 2008), with a second shade of
each where the first would fall below a contrast of 3:1 on that background.
"""

from typing import Any, Literal

Theme = Literal["light", "dark"]
TEACHER = {"light": "#0072B2", "dark": "#56B4E9"}
STUDENT = {"light": "#C04F00", "dark": "#F5A142"}
DISAGREE = {"light": "#A3307A", "dark": "#E58CC4"}
PRIMARY = {"light": "#0072B2", "dark": "#1C77B3"}  # of buttons, which carry white text: at least 4.5:1
GOOD = {"light": "#007A5A", "dark": "#2DC79B"}
INK = {"light": "#1A1C23", "dark": "#F2F3F7"}
MUTED = {"light": "#5B6070", "dark": "#A4A9B8"}
GRID = {"light": "#E3E5EC", "dark": "#343846"}
PAPER = {"light": "#FFFFFF", "dark": "#171A22"}
FIELD_ZERO = {"light": "#F7F7F9", "dark": "#20242E"}  # the middle of a diverging scale
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")


def classes(count: int) -> list[str]:
    """One colour per class: the palette first, then hues evenly spread."""
    return [SERIES[k] if k < len(SERIES) else f"hsl({(k * 137.508) % 360:.0f},55%,50%)" for k in range(count)]


def diverging(theme: Theme) -> list[list[Any]]:
    """A Plotly colour scale from teacher over nothing to student."""
    return [[0.0, TEACHER[theme]], [0.5, FIELD_ZERO[theme]], [1.0, STUDENT[theme]]]


def rising(colour: dict[str, str], theme: Theme) -> list[list[Any]]:
    """A Plotly colour scale from nothing to a colour."""
    return [[0.0, FIELD_ZERO[theme]], [1.0, colour[theme]]]


def layout(theme: Theme, revision: str, **more: Any) -> dict[str, Any]:
    """The Plotly layout all panels share. `revision` names the view: while it stays, so does the viewer's zoom."""
    axis = {"gridcolor": GRID[theme], "zerolinecolor": GRID[theme], "linecolor": GRID[theme], "automargin": True}
    shared: dict[str, Any] = {
        "uirevision": revision,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 14, "family": "inherit"},
        "margin": {"l": 48, "r": 12, "t": 8, "b": 40},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "hoverlabel": {"bgcolor": PAPER[theme], "bordercolor": GRID[theme], "font": {"color": INK[theme]}},
        "showlegend": True,
    }
    for key, value in more.items():
        shared[key] = {**axis, **value} if key.startswith(("xaxis", "yaxis")) else value
    for key in ("xaxis", "yaxis"):
        shared.setdefault(key, dict(axis))
    return shared
