"""The field's bytes, read back the way a browser does."""

import json
import struct
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_factory import Run, record

from app import theme
from app.panels import View, _canvas, panel
from app.panels import field as field_panel
from kdcore.probes.field import Ground, ground
from kdcore.runs.record import Arrays, Record

PLANES = ("teacher_class", "teacher_share", "student_class", "student_share", "student_share_of_teacher_class")

VECTORS = json.loads((Path(__file__).parents[1] / "web" / "field.json").read_text())  # the pages are tested on it


def parse(payload: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    magic, length = struct.unpack_from("<II", payload)
    assert magic == _canvas.MAGIC
    assert (8 + length) % 4 == 0
    head = json.loads(payload[8 : 8 + length].decode())
    planes = np.frombuffer(payload, np.uint8, offset=8 + length).reshape(-1, head["size"], head["size"])
    return head, list(planes)


@pytest.mark.parametrize("known", VECTORS["fields"], ids=lambda known: known["name"])
def test_the_bytes_are_those_that_the_pages_read(known: dict[str, Any]) -> None:
    planes = [np.array(plane, dtype=np.uint8) for plane in known["planes"]]
    assert _canvas.packed(known["info"], planes) == b64decode(known["bytes"])


def drawn(seen: Record, **view: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    payload = panel("field").draw(seen, View(**view))
    assert isinstance(payload, bytes)
    return parse(payload)


@pytest.mark.parametrize("size", [7, 20])
def test_planes_come_back_in_order(size: int) -> None:
    seen = record(Run(plane=size))
    head, planes = drawn(seen)
    known = {**seen.static, **seen.frame}
    names = ("teacher_field_class", "teacher_field_share", "field_class", "field_share", "field_teacher_share")
    assert all(np.array_equal(plane, known[name]) for plane, name in zip(planes, names, strict=True))
    assert head["teacher"] is True
    assert head["agreement"] == (planes[0] == planes[2]).mean()


def test_the_head_says_what_a_canvas_needs() -> None:
    seen = record(Run(plane=8, classes=26))
    head, _ = drawn(seen, sample=3, theme="dark")
    assert (head["step"], head["size"], head["extent"]) == (12, 8, [-2, 2, -1.5, 2.5])
    assert head["classes"][25] == "class 25"
    assert len(head["colours"]) == 26
    assert head["theme"]["disagree"] == theme.DISAGREE["dark"]
    assert len(head["points"]) == 400
    assert head["points"][0][2] == seen.static["train_labels"][0]
    assert head["pinned"] == head["probe_points"][3]
    assert head["pinned"] == pytest.approx(seen.static["probe_x"][3].tolist(), rel=1e-4)


def test_without_a_teacher_its_planes_are_absent() -> None:
    head, planes = drawn(record(Run(plane=8, teacher=False)))
    assert (head["teacher"], head["agreement"], len(planes)) == (False, None, 2)


def test_planes_of_two_sizes_are_no_picture() -> None:
    seen = record(Run(plane=8))
    seen = replace(seen, frame=dict(seen.frame) | {"field_teacher_share": np.zeros((2, 2), np.uint8)})
    with pytest.raises(ValueError, match="different sizes"):
        drawn(seen)


def test_the_live_field_needs_no_answers_on_the_probe_rows() -> None:
    seen = record(Run(plane=8))
    live = {name: seen.frame[name] for name in ("step", "field_class", "field_share", "field_teacher_share")}
    assert panel("field").lacks(replace(seen, frame=live)) is None
    assert len(drawn(replace(seen, frame=live))[1]) == 5


def test_what_stays_is_written_once_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(static: Arrays, size: int) -> Ground:
        made.append(size)
        return ground(static, size)

    monkeypatch.setattr(field_panel, "ground", counted)
    seen = record(Run(plane=8))
    heads = [drawn(replace(seen, frame={**seen.frame, "step": np.array(k)}), sample=k)[0] for k in range(5)]
    assert [head["step"] for head in heads] == list(range(5))
    assert len(made) == 1
    drawn(record(Run(plane=8)))
    assert len(made) == 2
