"""What the hub sends of a comparison."""

import json
from pathlib import Path

import pytest
from case_factory import random_case

from app.live import render
from app.live.case_watcher import CaseWatcher
from kdcore.comparison.case import folder_of


@pytest.mark.usefixtures("home")
def test_a_comparison_says_that_it_has_no_training_progress() -> None:
    case = random_case(folder_of("case-0123456789ab"), 20, 3)
    about: Path = case.folder / "about.json"
    about.write_text(case.about.model_copy(update={"where": "given"}).model_dump_json())
    payload = render.draw(CaseWatcher(case.id), None, render.Looker(), 1).payload
    assert isinstance(payload, str)
    assert json.loads(f"{{{payload}}}") == {"lacks": render.NO_STATUS}
