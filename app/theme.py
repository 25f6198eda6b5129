"""The fixed colours of the Lab: teacher, student and disagreement look the same everywhere, in light and dark.

Hues follow Okabe and Ito's palette for colour-blind readers (Color Universal Design, 2008), with a second shade of
each where the first would fall below a contrast of 3:1 on that background. Classes have a palette of their own, which
keeps away from those hues.
"""

from colorsys import hls_to_rgb
from typing import Any, Literal

Theme = Literal["light", "dark"]
TEACHER = {"light": "#0072B2", "dark": "#56B4E9"}
STUDENT = {"light": "#C04F00", "dark": "#F5A142"}
MENTOR = {"light": "#471800", "dark": "#E8DFFC"}  # who is neither: an assistant, a generation, a peer
DISAGREE = {"light": "#A3307A", "dark": "#E58CC4"}
PRIMARY = {"light": "#0072B2", "dark": "#1C77B3"}  # of buttons, which carry white text: at least 4.5:1
GOOD = {"light": "#007A5A", "dark": "#2DC79B"}
INK = {"light": "#1A1C23", "dark": "#F2F3F7"}
MUTED = {"light": "#5B6070", "dark": "#A4A9B8"}
GRID = {"light": "#E3E5EC", "dark": "#343846"}
PAPER = {"light": "#FFFFFF", "dark": "#171A22"}
FIELD_ZERO = {"light": "#F7F7F9", "dark": "#20242E"}  # the middle of a diverging scale
FONT = '"Source Sans", sans-serif'  # Streamlit's; Plotly measures what it writes, so it must know the name
SERIES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C6BB1",
    "#7F7F7F",
)  # Streamlit's own charts
CLASSES = {  # told apart by readers with protanopia and deuteranopia too, and from the colours above
    "light": (
        "#AD9247", "#582AEB", "#012B04", "#CC3E6A", "#9193AE", "#684A12", "#7E79F5", "#580D88", "#2A4352", "#310C43",
    ),
    "dark": (
        "#BFDE3F", "#8E2DEE", "#D41101", "#26E8F8", "#CB6CFF", "#159599", "#CBFACA", "#A79701", "#5365A3", "#91555D",
    ),
}  # fmt: skip
FREE_HUES = ((54, 116), (238, 280), (350, 358))  # degrees that no role has, for further classes
FURTHER = {"light": ((0.6, 0.3), (0.45, 0.36)), "dark": ((0.6, 0.72), (0.5, 0.6))}  # saturation and lightness


def role(name: str) -> dict[str, str]:
    """Return the colour of a network by what it is to those who look: student, untaught network, teacher, or
    between.
    """
    return STUDENT if name in ("student", "network") else TEACHER if "teacher" in name else MENTOR


def classes(count: int, look: Theme) -> list[str]:
    """One colour per class: the palette first, then hues that no role has, evenly spread."""
    return [*CLASSES[look][:count], *(_further(place, look) for place in range(count - len(CLASSES[look])))]


def _further(place: int, look: Theme) -> str:
    saturation, lightness = FURTHER[look][place % 2]
    red, green, blue = hls_to_rgb(_free_hue((place * 0.6180339887) % 1) / 360, lightness, saturation)
    return f"#{round(255 * red):02X}{round(255 * green):02X}{round(255 * blue):02X}"


def _free_hue(share: float) -> float:
    """Return the hue in degrees at a share of all that is free."""
    left = share * sum(high - low for low, high in FREE_HUES)
    for low, high in FREE_HUES:
        if left < high - low:
            return low + left
        left -= high - low
    return FREE_HUES[0][0]


def upon(colour: str) -> str:
    """Black or white, whichever is read more easily upon a hex colour: its contrast is at least 4.5:1 (WCAG 2.2)."""
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "#FFFFFF"


def diverging(theme: Theme) -> list[list[Any]]:
    """Return a Plotly colour scale from teacher over nothing to student."""
    return [[0.0, TEACHER[theme]], [0.5, FIELD_ZERO[theme]], [1.0, STUDENT[theme]]]


def rising(colour: dict[str, str], theme: Theme) -> list[list[Any]]:
    """Return a Plotly colour scale from nothing to a colour."""
    return [[0.0, FIELD_ZERO[theme]], [1.0, colour[theme]]]


def layout(theme: Theme, revision: str, **more: Any) -> dict[str, Any]:
    """Return the Plotly layout all panels share. `revision` names the view: while it stays, so does the viewer's
    zoom.
    """
    axis = {"gridcolor": GRID[theme], "zerolinecolor": GRID[theme], "linecolor": GRID[theme], "automargin": True}
    shared: dict[str, Any] = {
        "uirevision": revision,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK[theme], "size": 14, "family": FONT},
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
