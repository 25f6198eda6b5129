"""The walk finds every fault that is planted on a page, and calls nothing dead that is alive."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLANTED = (
    r"overlap: “one text lies here” and “another on top of it”",
    r"cut: “this sentence is longer than its box”",
    r"beyond the right edge: “this one begins on the page",
    r"axe color-contrast: 1 such as .* contrast of 2\.32",
    r"axe heading-order: 1",
    r"console: .*absent\.png",
    r"nothing changed after press “Dead”",
    r"nothing changed after choose “Dead choice”",
    r"nothing changed after fill “Dead text”",
    r"log: ZeroDivisionError: planted after press “Breaks”",
    r"exception on the page: .* after press “Breaks”",
)


@pytest.mark.browser
def test_each_planted_fault_is_found_and_nothing_else(chromium: Browser, tmp_path: Path) -> None:
    from browsing import served
    from keeper import Keeper
    from look import look
    from press import Presser
    from visit import Log, Look, visit

    log = Log(tmp_path / "server.log")
    with (
        served(tmp_path, "planted:app", (Path(__file__).parent,), log.path) as address,
        visit(chromium, address, "", Look(1280, "light"), log) as page,
    ):
        seen = look(page).faults
        presser = Presser(page, Keeper(None), full=False, patience_ms=10_000)
        found = [*seen, *presser.faults(Counter())]
    for pattern in PLANTED:
        assert [fault for fault in found if re.match(pattern, fault, re.DOTALL)], f"{pattern} not in {found}"
    others = [fault for fault in found if not any(re.match(pattern, fault, re.DOTALL) for pattern in PLANTED)]
    assert others == []
    assert presser.used >= 12  # those that are alive were used, too
