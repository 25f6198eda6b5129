"""A line within its interval."""

from typing import Any

import numpy as np

from app.panels._figure import faint, line, plain


def band(name: str, x: Any, value: Any, low: Any, high: Any, colour: str, **more: Any) -> list[dict[str, Any]]:
    """Two traces: the interval as an area, and the line; `more` goes into both."""
    around = {"type": "scatter", "uid": f"{name} interval", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    around |= {"x": plain(np.concatenate([x, x[::-1]])), "y": plain(np.concatenate([high, low[::-1]]))}
    around |= {"fill": "toself", "fillcolor": faint(colour, 0.18), "line": {"width": 0}, "legendgroup": name}
    axes = {key: more[key] for key in ("xaxis", "yaxis") if key in more}
    return [around | axes, line(name, x, value, colour, legendgroup=name, **more)]
