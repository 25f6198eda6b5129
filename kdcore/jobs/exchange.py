"""Recorded runs as folders: written from a run, and shown again anywhere without running anything.

Beside the files of `kdcore.runs.record` such a folder holds run.json (id, label, times, spec) and events.jsonl: one
event a line, each with "at", the unix second when it was heard.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select

from kdcore.atomic import draft_beside
from kdcore.errors import BadInput, gist, shortened
from kdcore.events import EVENT, Finished, Started
from kdcore.jobs import event_checks, rows
from kdcore.jobs.log import Heard
from kdcore.jobs.rows import Run
from kdcore.jobs.tables import EVENTS, RUNS
from kdcore.runs import changes
from kdcore.runs.by_hand import by_hand, carry
from kdcore.runs.private_rows import files, walled
from kdcore.runs.record import read_arrays, write_arrays
from kdcore.spec.spec import Spec, parse
from kdcore.untrusted import parsing, read_json, read_text, turning

# Each answer of a teacher, paid for by one, is in .bin, and what was sent without a reply in .lost and .due.
LEFT_OUT = ("checkpoints", "live", "*.log", "*.bin", "*.lost", "*.due", ".*")
TIMES = ("created_at", "started_at", "finished_at")
LONGEST_TEXT = 10_000  # characters of any text that a run tells
END_OF_TIME_S = 253_402_300_800.0  # the year 10000, of which no calendar knows


@dataclass(frozen=True)
class Recorded:
    """What a recorded run's folder says."""

    id: str
    label: str
    spec: Spec
    times: dict[str, float]  # by name, see TIMES
    told: tuple[Heard, ...]
    folder: Path
    pristine: bool  # see `Run`

    @property
    def steps(self) -> int:
        """All steps, those of the source's lead among them."""
        began = next((heard.event for heard in self.told if isinstance(heard.event, Started)), None)
        return began.steps if began else self.spec.steps

    @property
    def classes(self) -> int:
        """How many classes its networks tell apart."""
        began = self.told[0].event
        assert isinstance(began, Started)
        return len(began.classes)

    @property
    def finished(self) -> Finished:
        """The last event."""
        last = self.told[-1].event
        assert isinstance(last, Finished)
        return last


def load(folder: Path, named: str = "") -> Recorded:
    """Read a recorded run's folder.

    Args:
        folder: where it lies.
        named: what sentences call it, if not by its path.

    Raises:
        BadInput: one sentence on what is absent or damaged.
    """
    named = named or str(folder)
    with parsing(f"{named} holds no readable recorded run", "export the run again"):
        facts = read_json(_text(folder, "run.json"))
        spec = parse(facts["spec"])
        lines = _lines(_text(folder, "events.jsonl"), event_checks.most(spec))
        times = {name: _moment(facts.get(name) or 0.0) for name in TIMES}
        told = tuple(_heard(seq, line, times["finished_at"]) for seq, line in enumerate(lines, start=1))
        run_id, label = str(facts["id"]), str(facts.get("label", ""))
        changed = changes.told(heard.event for heard in told)
        pristine = bool(facts.get("pristine", not changed))
        spec = changes.with_changes(spec, changed)
        _check_text(label)
        _check_places(folder, told)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", run_id):
        raise BadInput(
            f"{named} names its run {shortened(run_id)}, but an id is 1 to 40 of a-z, 0-9 and '-', and does not begin "
            "with '-'; mend run.json."
        )
    if not told or not isinstance(told[-1].event, Finished):
        raise BadInput(f"{named} holds a run that did not finish; bring one whose last event is 'finished'.")
    with parsing(f"{named} holds no record of a run", "export the run again"):
        event_checks.check(spec, [heard.event for heard in told])
    return Recorded(run_id, label, spec, times, told, folder.resolve(), pristine)


def _text(folder: Path, name: str) -> str:
    """What a file of the folder says.

    Raises:
        ValueError: there is none, or it is too long.
    """
    try:
        with turning(lambda error: ValueError(f"{name}: {gist(error)}"), FileNotFoundError):
            return read_text(folder / name)
    except FileNotFoundError:
        raise ValueError(f"it has no {name}") from None


def _lines(text: str, most: int) -> list[str]:
    """The lines of a text, counted before one of them is read: an event takes 2 kB of memory and 100 us.

    Raises:
        ValueError: they are more than `most`.
    """
    lines = text.removesuffix("\n").split("\n", most) if text else []
    if len(lines) > most:
        raise ValueError(f"it tells of more than {most:,} events, which no run of its settings does")
    return lines


def _heard(seq: int, line: str, otherwise: float) -> Heard:
    raw = read_json(line)
    if not isinstance(raw, dict):
        raise ValueError(f"event {seq} is no JSON object")
    event_checks.check_size(raw)
    if len(line) > LONGEST_TEXT or "\\u" in line:  # in others no text can be too long, or hold a lone surrogate
        _check_text(raw)
    at = _moment(raw.pop("at", otherwise))
    try:
        return Heard(seq, at, EVENT.validate_python(raw))
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"event {seq} cannot be read: {cause}") from error


def _moment(value: Any) -> float:
    """Unix seconds.

    Raises:
        ValueError: it is no time, such as NaN, which a database takes for none.
    """
    at = float(value)
    if not 0.0 <= at < END_OF_TIME_S:
        raise ValueError(f"{at!r} is no time in unix seconds")
    return at


def _check_text(said: Any) -> None:
    """Pass what can be written down; JSON may escape a lone surrogate, which no UTF-8 holds.

    Raises:
        ValueError: a text cannot be, or is longer than any that a run tells.
    """
    try:
        json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds text that is not UTF-8") from error
    if (longest := max(map(len, _texts(said)), default=0)) > LONGEST_TEXT:
        raise ValueError(f"it holds a text of {longest:,} characters, and at most {LONGEST_TEXT:,} are read")


def _texts(value: Any) -> Iterator[str]:
    """All texts inside of a value, names of fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _check_places(folder: Path, told: Iterable[Heard]) -> None:
    """Pass where all files that are told of lie in the folder.

    Raises:
        ValueError: one does not.
    """
    home = folder.resolve()
    for heard in told:
        file = getattr(heard.event, "file", "")
        if not (home / file).resolve().is_relative_to(home):
            raise ValueError(f"event {heard.seq} tells of a file outside of it, {shortened(file)}")


def known(connection: Connection, recorded: Recorded) -> Path | None:
    """Where a record lies that is here already.

    Raises:
        BadInput: a run of that id was made here, was deleted, or has other settings.
    """
    row = connection.execute(select(RUNS).where(RUNS.c.id == recorded.id)).first()
    if row is not None and row.folder is None:
        raise BadInput(f"Run {recorded.id} was made here, so no other is brought in its place; it is shown as it is.")
    if row is not None and row.deleted_at:
        raise BadInput(f"Run {recorded.id} was deleted here; its owner can restore it on the Runs page.")
    if row is not None and row.hash != recorded.spec.hash:
        raise BadInput(f"Run {recorded.id} is here with other settings; only one run can have that id.")
    return Path(row.folder) if row is not None else None


def bodies(recorded: Recorded) -> list[dict[str, Any]]:
    """The rows of a record's events: made beforehand, for while they are inserted no run may tell of its steps."""
    return [
        {"run": recorded.id, "seq": seq, "at": at, "body": event.model_dump_json()} for seq, at, event in recorded.told
    ]


def bring(connection: Connection, recorded: Recorded, owner: str, events: list[dict[str, Any]]) -> None:
    """Insert a recorded run and its `bodies`; where it is known already, only note where its folder lies now.

    Raises:
        BadInput: a run of this machine has that id.
    """
    known = connection.execute(select(RUNS).where(RUNS.c.id == recorded.id)).first()
    if known is not None and known.folder is None:
        raise BadInput(
            f"Run {recorded.id} was made here, so it cannot be brought from {recorded.folder}; it is shown as it is."
        )
    if known is not None:
        rows.change(connection, recorded.id, folder=str(recorded.folder))
        return
    facts: dict[str, Any] = {name: at or None for name, at in recorded.times.items()}
    facts["created_at"] = recorded.times["created_at"]
    last = recorded.finished
    rows.add(
        connection, recorded.spec, owner, id=recorded.id, label=recorded.label, state="done", step=last.step,
        steps=recorded.steps,
        heard=len(recorded.told), result=json.dumps(last.result), folder=str(recorded.folder),
        pristine=recorded.pristine, **facts,
    )  # fmt: skip
    connection.execute(insert(EVENTS), events)


def save(run: Run, told: Sequence[Heard], destination: Path, real: bool = False) -> Path:
    """Write a run's record under a temporary name, then rename it.

    Args:
        real: whether it may hold the rows of an edge that asks a teacher behind a wall.

    Raises:
        BadInput: the destination exists, the disk refuses, or the settings themselves hold such rows.
    """
    whole = real or not walled(run.spec)
    if not whole and "points" in run.spec.data.knobs:
        raise BadInput(
            f"The settings of run {run.id} hold its points, so no record can do without them; allow them in files."
        )
    if destination.exists():
        raise BadInput(f"{destination} exists already; name a folder that does not.")
    draft = draft_beside(destination)
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir()
        (_copy if whole else _copy_public)(run, draft)
        (draft / "run.json").write_text(_facts(run))
        began = next((heard.event for heard in told if isinstance(heard.event, Started)), None)
        if began:
            carry(by_hand(run.folder, len(began.classes)), draft)
        lines = (json.dumps({"at": at} | event.model_dump(mode="json")) for _, at, event in told)
        (draft / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))
        draft.rename(destination)
    except OSError as error:
        raise BadInput(
            f"Run {run.id} could not be written to {destination} ({error.strerror}); "
            "free space or choose another folder."
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return destination


def _copy(run: Run, draft: Path) -> None:
    """Everything that is part of the record."""
    if run.folder.exists():
        shutil.copytree(run.folder, draft, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    for path in draft.rglob("*.npz"):
        write_arrays(path, read_arrays(path))  # compressed: a third of the size


def _copy_public(run: Run, draft: Path) -> None:
    """What shows no row of the edge; nothing else is written, not even for a moment."""
    for path, arrays in files(run.folder, run.spec):
        place = draft / path.relative_to(run.folder)
        if arrays is None:
            shutil.copyfile(path, place)
        elif arrays:
            write_arrays(place, arrays)


def _facts(run: Run) -> str:
    facts = {"id": run.id, "label": run.label, "hash": run.hash, "pristine": run.pristine, "result": run.result}
    facts |= {name: getattr(run, name) for name in TIMES} | {"spec": run.spec.model_dump(mode="json")}
    return json.dumps(facts, indent=1)
