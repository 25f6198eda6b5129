"""What people changed during a run, as a part of what the run is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kdcore.events import Changed, Event
from kdcore.spec.spec import Change, Spec, parse


def with_changes(spec: Spec, further: Sequence[Change]) -> Spec:
    """Return the spec with further changes during the run; those it has already make no difference."""
    new = [one.model_dump(mode="json") for one in further if one not in spec.changes]
    return parse((raw := spec.model_dump(mode="json")) | {"changes": [*raw["changes"], *new]}) if new else spec


def told(events: Iterable[Event]) -> list[Change]:
    """Return the changes among the events of a run."""
    return [Change(step=one.step, path=one.path, value=one.new) for one in events if isinstance(one, Changed)]
