"""A panel drawn for the wire, once for everybody whose view makes no difference to it."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pydantic_core import to_json

from app.live.case_watcher import CaseWatcher
from app.live.run_watcher import Watcher
from app.live.status import status
from app.panels import Panel, View
from app.panels._lacks import Alone, Later
from app.panels._recast import STUDENT, recast, renamed
from kdcore.errors import BadInput
from kdcore.jobs.states import ACTIVE
from kdcore.untrusted import turning

log = logging.getLogger("kdlab.live")
STATUS = "status"  # what the transport bar subscribes to, as if it were a panel
ENDED: dict[str, str] = {
    "done": "This run did not record this.",
    "failed": "The run failed before recording this; see the message above.",
    "cancelled": "The run was stopped before recording this.",
    "lost": "The run was interrupted before recording this.",
}
NO_STATUS = "A comparison has no training progress."
FAILED = "This panel could not be drawn; see the server log."
DAMAGED = "This panel cannot be drawn: the files of this record are inconsistent."


class Looker(View):
    """A view, and whether the run on show is the viewer's own."""

    mine: bool = False


class Traced:
    """A view that notes what is asked of it; panels take it for a `View`."""

    def __init__(self, view: Looker) -> None:
        self._view = view
        self.reads: dict[str, object] = {}

    def __getattr__(self, name: str) -> Any:
        value = self.reads[name] = getattr(self._view, name)
        return value


class DrawnPanel(NamedTuple):
    """What goes to the browsers, and what it was drawn from."""

    run: str
    step: int
    version: int
    reads: dict[str, object]  # what the drawing asked of the view, and the answers it got
    payload: str | bytes  # one JSON member, such as "figure":{...}, or bytes

    def serves(self, version: int, view: Looker) -> bool:
        """Whether somebody with this view would be drawn the same."""
        return self.version == version and all(getattr(view, name) == value for name, value in self.reads.items())

    def message(self, key: int) -> str | bytes:
        """Return the payload addressed to one subscription."""
        if isinstance(self.payload, bytes):
            return key.to_bytes(4, "little") + self.payload
        head = f'"key":{key},"run":{json.dumps(self.run)},"step":{self.step},"version":{self.version}'
        return f"{{{head},{self.payload}}}"


def member(name: str, value: object) -> str:
    """One member of a JSON object; what is not a number becomes null."""
    return f'"{name}":{to_json(value, inf_nan_mode="null", serialize_unknown=False).decode()}'


def version_of(watcher: Watcher | CaseWatcher, panel: Panel | None, at: int | None) -> int:
    """Return a number that is another one when the panel may look different; None is the status."""
    if panel is None:
        return watcher.status_version
    if at is not None:
        return watcher.stage_version
    return watcher.field_version if panel.kind == "field" else watcher.record_version


def draw(watcher: Watcher | CaseWatcher, panel: Panel | None, view: Looker, version: int) -> DrawnPanel:
    """Draw one panel of a run, or its status; a panel that fails says so in its place and harms nothing else."""
    traced = Traced(view)
    step = watcher.subject.step if view.at is None else view.at
    try:
        with own_faults(watcher):
            payload = _payload(watcher, panel, traced)
    except BadInput as error:
        payload = member("lacks", str(error))
    return DrawnPanel(watcher.run.id, step, version, {**traced.reads, "at": view.at}, payload)


def own_faults(watcher: Watcher | CaseWatcher) -> AbstractContextManager[None]:
    """Turn whatever goes wrong with one panel into a sentence, as it must not take the others and viewers with it.

    The log has the traceback, unless others wrote the record.

    Raises:
        BadInput: the sentence.
    """

    def said(error: Exception) -> BadInput:
        if isinstance(watcher, Watcher) and watcher.run.recorded:
            log.warning("Record %s cannot be drawn: %s", watcher.run.id, error)
            return BadInput(DAMAGED)
        log.exception("Drawing a panel of run %s failed", watcher.run.id)
        return BadInput(FAILED)

    return turning(said, BadInput)


def _payload(watcher: Watcher | CaseWatcher, panel: Panel | None, traced: Traced) -> str | bytes:
    if panel is None:
        if not isinstance(watcher, Watcher):
            raise BadInput(NO_STATUS)
        return member(STATUS, status(watcher, traced.at, traced.mine))
    record = watcher.subject.record(traced.at, field=panel.kind == "field")
    lacking = lacks(watcher, panel, record, traced.at)
    if lacking:
        return member("lacks", lacking)
    drawing = panel.draw(record, traced)  # type: ignore[arg-type]
    if isinstance(drawing, bytes):
        return drawing
    if isinstance(watcher, Watcher) and watcher.subject.learner != STUDENT:
        drawing = recast(drawing, watcher.subject.learner, traced.theme)
    return member("figure" if panel.kind == "plotly" else panel.kind, drawing)


def lacks(watcher: Watcher | CaseWatcher, panel: Panel, record: Any, at: int | None) -> str | None:
    """Why a panel cannot be drawn, or None: what comes later comes only while the run goes on."""
    lacking = panel.lacks(record)
    if lacking is None or not isinstance(watcher, Watcher):
        return lacking
    learner = watcher.subject.learner
    if isinstance(lacking, Alone) and watcher.teaching:
        return f"The {learner} is trained first, without a teacher; this panel starts with the student."
    if watcher.run.state in ACTIVE or not isinstance(lacking, Later):
        return renamed(lacking, learner)
    return f"Not recorded by step {at:,}." if at is not None else ENDED[watcher.run.state]
