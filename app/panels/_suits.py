"""Which runs a panel is for, asked of a run's beginning: its spec, its first frame and its first loss point."""

from collections.abc import Callable

from kdcore.runs.record import Record
from kdcore.spec.catalogue import entry

Suits = Callable[[Record], bool]


def taught(record: Record) -> bool:
    """Match runs with a teacher, a run of ours or a service."""
    return record.spec.teacher is not None or record.spec.service is not None


def walled(record: Record) -> bool:
    """Match runs whose teacher stands behind a wall, where every question counts."""
    return record.spec.wall is not None


def making(record: Record) -> bool:
    """Match runs whose source makes its images."""
    return bool(entry("source", record.spec.source.name)["makes"]) and holds(record, "local_x")


def inverting(record: Record) -> bool:
    """Match runs whose source makes images of answers."""
    return making(record) and bool(entry("source", record.spec.source.name)["inverts"])


def records(*names: str) -> Suits:
    """Match runs whose frames, or what stays, hold all of these arrays."""
    return lambda record: all(holds(record, name) for name in names)


def holds(record: Record, name: str) -> bool:
    """Whether a run recorded an array, even if its export left it out."""
    return name in record.frame or name in record.static or name in record.withheld


def noting(record: Record) -> bool:
    """Match runs whose method tells something of itself."""
    return any(step.notes for step in record.steps)


def standardising(record: Record) -> bool:
    """Match runs whose method compares logits at another scale than they have."""
    method = record.spec.method
    return bool(method.knobs.get("standardise")) or entry("method", method.name)["family"] == "temperature"
