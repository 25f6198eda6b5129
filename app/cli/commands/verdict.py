"""The verdict on a run, told in the terminal or written to a file."""

from __future__ import annotations

from pathlib import Path

from app.reports.html_report import facts_of, report
from app.reports.verdict import PARTS, verdict
from app.text.phrases import title
from kdcore.atomic import write_text
from kdcore.errors import BadInput
from kdcore.jobs.store import Store
from kdcore.terminal import say


def judge(run_id: str, file: Path | None, real: bool = False) -> None:
    """Print the sentences, or write the page that holds them with their pictures; local ones only where `real`.

    Raises:
        BadInput: there is no such run, it is not over, or the file cannot be written.
    """
    store = Store()
    run = store.get(run_id)
    facts, record = facts_of(store, run)
    if file is not None:
        say(_written(file, report(run, facts, record, real=real)))
        return
    say(title(run.spec))
    for part, heading in PARTS.items():
        said = [one.text for one in verdict(facts) if one.part == part]
        say("\n".join(["", heading, *(f"  {text}" for text in said)]))


def _written(file: Path, text: str) -> Path:
    try:
        file.parent.stat()  # a folder that is not there is misspelt
        write_text(file, text)
    except OSError as error:
        raise BadInput(f"{file} cannot be written ({error.strerror}); name another file.") from error
    return file
