"""Two models on the same rows, told in the terminal."""

from __future__ import annotations

import json as jsonlib
from typing import Any

import numpy as np

from app import run_store
from app.helpers import comparison
from app.text.phrases import SPLITS, percent, repeats
from kdcore.comparison.agreement import partition
from kdcore.comparison.case import PARTS, Case, Where, progress
from kdcore.comparison.question import ALLOW
from kdcore.errors import BadInput
from kdcore.probes.reliability import calibration
from kdcore.terminal import say

NAMES = {
    "student_accuracy": "student right",
    "teacher_accuracy": "teacher right",
    "agreement": "same answer",
    "student_ece": "student's calibration error",
    "teacher_ece": "teacher's calibration error",
}


def inspect(student: str, teacher: str | None, where: Where, json: bool, sends: bool = False) -> None:
    """Open the case, here and now where nobody has, and tell who is right where.

    Raises:
        BadInput: there is no such run, or the two do not go together.
    """
    store = run_store.store()
    question = comparison.question(store.get(student), store.get(teacher) if teacher else None, where, sends=sends)
    told = progress(question.folder, comparison.FIRST)
    if told is None or told.state != "done":
        question.write()
        _answer(question.folder)
    case = Case(question.folder)
    found = figures(case)
    say(jsonlib.dumps(found) if json else _sentences(case, found))


def _answer(folder: Any) -> None:
    """Have both models asked in this process."""
    from kdcore.comparison.worker import answer  # here, as it brings torch with it

    told = answer(jsonlib.dumps({"task": comparison.FIRST, "folder": str(folder), "sends": True}))
    if "error" in told:
        raise BadInput(told["error"])


def figures(case: Case) -> dict[str, Any]:
    """What a program reads: fractions, KL in nats; without a teacher what is known of the student."""
    rows = case.rows
    known = rows.labels >= 0
    own = calibration(rows.student[known], rows.labels[known])
    counted = {"where": case.about.where, "rows": len(rows), "labelled": int(known.sum())}
    notes = [note.replace(ALLOW, "to allow that, add --send-rows.") for note in case.about.notes]
    found: dict[str, Any] = {"case": case.id, **counted, "notes": notes}
    if rows.teacher is None:
        right = float((rows.student_top[known] == rows.labels[known]).mean())
        return found | {"student_accuracy": right, "student_ece": own.ece}
    parts = partition(rows)
    shares = {name: getattr(parts, name) for name in (*NAMES, "copied", "expected") if hasattr(parts, name)}
    shares |= {"student_ece": own.ece, "teacher_ece": calibration(rows.teacher[known], rows.labels[known]).ece}
    found |= {"teacher_errors": parts.teacher_errors, "teacher_errors_repeated": parts.repeated}
    found["partition"] = dict(zip(PARTS, parts.counts.tolist(), strict=True))
    return found | {name: value for name, value in shares.items() if np.isfinite(value)} | {"kl": float(rows.kl.mean())}


def _sentences(case: Case, found: dict[str, Any]) -> str:
    about = case.about
    lines = [about.student.title, f"beside {about.teacher.title}" if about.teacher else "without a teacher"]
    whole = f" (of {about.whole:,})" if about.whole and about.whole > found["rows"] else ""
    named = f", {found['labelled']:,} of them labelled" if found["labelled"] < found["rows"] else ""
    lines += [f"{found['rows']:,} {SPLITS[about.where]}{whole}{named}", *found["notes"], ""]
    lines += [f"  {PARTS[name]:<26}{count:>8,}" for name, count in found.get("partition", {}).items()]
    lines += [f"  {said:<34}{percent(found[name]):>8}" for name, said in NAMES.items() if name in found]
    if "teacher_errors" in found:
        counts = found["teacher_errors_repeated"], found["teacher_errors"]
        lines.append(f"  student {repeats(*counts, found['expected'])}" if counts[1] else f"  {repeats(*counts, 0.0)}")
    lines += [f"  {'mean KL(teacher || student)':<30}{found['kl']:>7.3f} nats"] if "kl" in found else []
    return "\n".join([*lines, "", f"In the Inspector: /inspector?case={case.id}"])
