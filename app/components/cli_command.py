"""A run as one line for the command line."""

from __future__ import annotations

import json
import shlex

from app.cli.arguments import wanted
from app.text.phrases import differences
from app.text.sending import OPTION
from kdcore.errors import BadInput
from kdcore.spec.catalogue import check_knobs
from kdcore.spec.lineage import recommended
from kdcore.spec.query_limits import sends_local
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Choice, Spec

LONGEST = 600  # characters; what is longer is better kept in a file
FLAGS = {"data": "data", "method": "method", "student": "model"}


def command(spec: Spec) -> str | None:
    """Return what to type to have this run, or None where only a file can say all of it."""
    base = recommended(spec.data.name)
    said = {part: _told(kind, getattr(spec, part)) for part, kind in FLAGS.items()}
    flags = {part: text for part, text in said.items() if text != _told(FLAGS[part], getattr(base, part))}
    flags["data"] = said["data"]
    settings = [] if spec.teacher else ["teacher=none"]
    if spec.teacher and base.teacher and spec.teacher.student.name != base.teacher.student.name:
        settings.append(f"teacher.student={_told('model', spec.teacher.student)}")
    changes = [f"{one.step}:{one.path}={_text(one.value)}" for one in spec.changes]
    try:
        near = wanted(None, flags, settings, [])
        whole = spec.model_copy(update={"changes": ()})  # what changes during the run is said by words of its own
        settings += [f"{path}={_text(values[1])}" for path, values in differences([near, whole]).items()]
        if wanted(None, flags, settings, changes).hash != spec.hash:
            return None
    except BadInput:  # a text that the command line reads differently, such as a folder with a comma in its name
        return None
    words = [word for part, text in flags.items() for word in (f"--{part}", text)]
    words += [word for setting in settings for word in ("--set", setting)]
    words += [word for change in changes for word in ("--change", change)]
    words += [OPTION] if sends_local(spec) else []
    line = shlex.join(["kdlab", "run", *words])
    return line if len(line) <= LONGEST else None


def _told(kind: str, choice: Choice) -> str:
    """Return a choice as `name:knob=value,knob=value`, without the knobs that have their default."""
    defaults = check_knobs(kind, choice.name, {})
    knobs = ",".join(f"{key}={_text(value)}" for key, value in choice.knobs.items() if value != defaults[key])
    return f"{choice.name}:{knobs}" if knobs else choice.name


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
