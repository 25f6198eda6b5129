"""What a run sends to a remote teacher, for who is about to start it: where to, how much, at what price."""

from __future__ import annotations

from collections.abc import Sequence

from app.text.orders import costs
from app.text.phrases import named
from kdcore.errors import BadInput
from kdcore.spec.lineage import members
from kdcore.spec.query_limits import sends_local
from kdcore.spec.spec import Spec

UNASKED = "This sends local (real) images to {place} to learn from; add {option} to allow that."
OPTION = "--send-local"


def place(spec: Spec) -> str:
    """Return where a remote teacher is, such as "the server at http://127.0.0.1:8500"."""
    assert spec.service
    url = spec.service.knobs.get("url")
    return f"the server at {url}" if url else named("teacher", spec.service)


def check_sending(spec: Spec) -> None:
    """Pass a run that sends no local images to a remote teacher to learn from, nor has one trained first that does.

    Raises:
        BadInput: it does.
    """
    asked = next((one for one in members(spec) if sends_local(one)), None)
    if asked:
        raise BadInput(UNASKED.format(place=place(asked), option=OPTION))


def promised(specs: Sequence[Spec]) -> list[str]:
    """Return what starting these runs sends: address, most queries and price, and whether local images are sent."""
    said = []
    for spec in specs:
        learnt = (
            "Local (real) images of this machine are sent to learn from."
            if sends_local(spec)
            else "Only synthetic images are sent to learn from."
        )
        measured = (
            " For measuring, held-out and local images are sent too."
            if spec.wall and spec.wall.measure == "real"
            else ""
        )
        said.append(f"Images go to {place(spec)}. {costs(spec)} {learnt}{measured}")
    return list(dict.fromkeys(said)) if len(specs) == 1 else [f"Run {k}: {one}" for k, one in enumerate(said, 1)]
