"""What a new file registers is in the form at once: no page keeps a list of its own."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from lab_driver import Open, labels, said
from pydantic import Field

from kdcore.contracts.service import Service
from kdcore.spec import catalogue


class Echo(Service):
    """A teacher service as a new file would hold it, with no more than it must say."""

    title: ClassVar[str] = "Echo"
    volume: int = Field(2, ge=0, le=10, multiple_of=2, title="How loud", description="Decibels.")


class Parrot(Service):
    """Another, with a file and a name that must be given."""

    title: ClassVar[str] = "Parrot"
    says: ClassVar[str] = "It repeats."
    upload: ClassVar[str] = "onnx"
    required: ClassVar[dict[str, str]] = {"name": "the parrot's name: fill it in"}
    file: str = Field("", description="Name of the uploaded file.")
    name: str = Field("", description="How it is called.")


def register(monkeypatch: pytest.MonkeyPatch, kind: str, name: str, thing: dict[str, Any]) -> None:
    monkeypatch.setitem(catalogue.catalogue()[kind], name, thing)
    catalogue.knobs_model.cache_clear()


@pytest.mark.parametrize("service", [Echo, Parrot])
def test_a_new_teacher_service_is_in_the_black_box_form(
    lab: Open, monkeypatch: pytest.MonkeyPatch, service: type[Service]
) -> None:
    name = service.__name__.lower()
    register(monkeypatch, "teacher", name, catalogue._describe("teacher", name, service))
    page = lab("blackbox", service=name)
    assert not page.exception
    assert not page.error
    shown = {item.key: item for kind in (page.number_input, page.text_input) for item in kind}
    assert {f"form service.{knob}" for knob in service.model_fields if knob != "file"} <= shown.keys()
    assert service.says in said(page)
    assert len(page.file_uploader) == bool(service.upload)
    run = next(item for item in page.sidebar.button if item.label == "Run")
    assert run.disabled == bool(service.required)
    assert all(f"An external teacher requires {what}" in said(page) for what in service.required.values())


def test_its_knobs_are_called_what_its_file_calls_them(lab: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, "teacher", "echo", catalogue._describe("teacher", "echo", Echo))
    page = lab("blackbox", service="echo")
    loud = next(item for item in page.number_input if item.key == "form service.volume")
    assert (loud.label, loud.step) == ("How loud", 2)


@pytest.mark.parametrize(
    ("kind", "part", "like"),
    [
        ("method", "method", "kd"),
        ("model", "student", "mlp"),
        ("model", "teacher", "mlp"),
        ("source", "source", "data"),
    ],
)
def test_a_new_file_of_any_kind_is_in_the_lab(
    lab: Open, monkeypatch: pytest.MonkeyPatch, kind: str, part: str, like: str
) -> None:
    twin = catalogue.entry(kind, like) | {"name": "invented", "title": "Invented", "family": "of its own"}
    twin |= {"family": catalogue.entry(kind, like)["family"]} if kind == "method" else {}
    register(monkeypatch, kind, "invented", twin)
    page = lab(data="moons", **{part: "invented"})
    assert not page.exception
    assert not page.error
    assert "There is no" not in said(page)
    assert "Run" in labels(page)
    run = next(item for item in page.sidebar.button if item.label == "Run")
    assert not run.disabled
