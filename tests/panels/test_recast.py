"""While another network is trained first, every panel speaks of it in the student's place."""

import json
import re
from typing import Any

import pytest
from record_factory import Run, record

from app import theme
from app.panels import View, panel, panels
from app.panels._recast import columns, recast, renamed

RECORDS = {
    "plane": record(Run(plane=20)),
    "telling": record(Run(telling=True)),
    "making": record(Run(making=True)),
    "alone": record(Run(teacher=False)),
}


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize(("learner", "role"), [("assistant", theme.MENTOR), ("teacher", theme.TEACHER)])
@pytest.mark.parametrize("run", RECORDS)
def test_no_panel_calls_or_colours_it_a_student(run: str, learner: str, role: dict[str, str], look: Any) -> None:
    for name, one in panels().items():
        if one.kind == "field" or one.lacks(RECORDS[run]):
            continue
        drawn = one.draw(RECORDS[run], View(theme=look))
        before, after = (json.dumps(said(shown)) for shown in (drawn, recast(drawn, learner, look)))
        assert not re.search(r"\bstudent\b", after, re.IGNORECASE), name
        assert theme.STUDENT[look] not in after, name
        assert (theme.STUDENT[look] in before) <= (role[look] in after), name


def said(part: Any) -> list[str]:
    """Every text of a drawing, pictures apart; keys are no texts."""
    if isinstance(part, str):
        return [] if part.startswith("data:") else [part]
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else []
    return [text for one in parts for text in said(one)]


def test_columns_are_named_by_who_learns() -> None:
    assert list(columns(panel("logits").table(RECORDS["alone"], View()), "assistant 2")) == [
        "class",
        "is_label",
        "assistant_2_logit",
        "assistant_2_probability",
    ]
    alone = columns(panel("accuracy").table(RECORDS["alone"], View()), "teacher")
    assert alone["teacher_accuracy"] == [seen.student.accuracy for seen in RECORDS["alone"].evaluations]
    assert list(alone) == ["step", "split", "teacher_accuracy"]


def test_words_keep_their_beginnings() -> None:
    text = "Student minus teacher: students, the student's own"
    assert renamed(text, "mentor 1") == "Mentor 1 minus teacher: students, the mentor 1's own"
