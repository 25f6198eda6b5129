"""Where files that come with the program lie."""

from pathlib import Path

APP = Path(__file__).resolve().parent
# A wheel carries `assets/` inside the package (see setup.py); a checkout holds it beside.
ASSETS = next(path for path in (APP / "assets", APP.parent / "assets") if path.is_dir())
