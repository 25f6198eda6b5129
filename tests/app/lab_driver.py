"""Drives the pages in tests: what stands on one, and pressing its buttons."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from kdcore.jobs.rows import Run

ME = "me"
Open = Callable[..., AppTest]
Finish = Callable[..., Run]


def button(page: AppTest, label: str) -> AppTest:
    """Press the first button of that label; the page afterwards."""
    return next(item for item in page.button if item.label == label).click().run()


def labels(page: AppTest) -> list[str]:
    """Every button on the page."""
    return [item.label for item in page.button]


def said(page: AppTest) -> str:
    """Every sentence on the page."""
    kinds = (page.markdown, page.caption, page.warning, page.error, page.success, page.info, page.subheader)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def components(page: AppTest) -> int:
    """How many live components the page holds."""
    return len(page.get("bidi_component"))


def cards(page: AppTest) -> str:
    """The HTML on the page."""
    return "".join(item.proto.body for item in page.get("html"))
