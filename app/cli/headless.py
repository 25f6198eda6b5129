"""A run without a browser: submitted to the store, done here unless a Lab's worker takes it, told as it goes.

The run is done in a thread of its own, so that Ctrl-C never falls into a step or a transaction: it asks the store to
cancel, as the Lab's button does, and the run ends between two steps.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress

from app.cli import FAILED, WRONG
from app.cli.telling import Bar, Lines, Teller, ending
from app.words import ago, title
from kdcore.contracts import Command
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.jobs.store import Store
from kdcore.orders import drowned
from kdcore.spec import Spec

OWNER = "terminal"
LOOK_S = 0.1  # between two looks at the store
EXPIRE_S = 1.0  # between two looks for runs that nobody works on any more
STOPPED = 130


def distil(spec: Spec, *, fresh: bool, json: bool) -> int:
    """Do a run, or tell again one that was done; the exit code."""
    store = Store()
    run = store.submit(spec, OWNER, fresh=fresh)
    if lost := drowned(spec):
        print(lost, file=sys.stderr)
    teller: Teller = Lines() if json else Bar() if sys.stderr.isatty() else Teller()
    if run.state == "done":
        print(f"Run {run.id} did this {ago(run.finished_at or 0.0)}; --fresh runs it again.", file=sys.stderr)
        for event in store.story(run.id):
            teller.event(event)
        return _conclude(store, run, json)
    ours = run.state == "queued"
    try:
        if ours:
            _begin(store, run)
        return _conclude(store, _follow(store, run, teller, expire=not ours), json)
    except KeyboardInterrupt:
        return _stop(store, run) if ours else STOPPED
    except BrokenPipeError:  # whoever listened has gone
        if ours:
            _stop(store, run)
        raise


def _begin(store: Store, run: Run) -> None:
    """Do the run in a thread, if it still waits once torch is loaded."""
    from kdcore.jobs.worker import Worker

    logging.getLogger("kdcore").setLevel(logging.CRITICAL)  # the run's row keeps what went wrong
    worker = Worker(store)
    claimed = store.claim(os.getpid(), run.id)
    if claimed:
        threading.Thread(target=worker.work, args=(claimed,), name="run", daemon=True).start()


def _follow(store: Store, run: Run, teller: Teller, expire: bool) -> Run:
    """Tell what happens until the run is over; the run as it is then."""
    after, next_expire = 0, time.monotonic() + EXPIRE_S
    with teller:
        while True:
            run = store.get(run.id)
            teller.look(run, store.get(run.teacher_run) if run.teacher_run else None)
            for heard, _, event in store.events(run.id, after, limit=None):
                teller.event(event)
                after = heard
            if run.state not in ACTIVE:
                return run
            if expire and time.monotonic() >= next_expire:
                store.expire()
                next_expire = time.monotonic() + EXPIRE_S
            time.sleep(LOOK_S)


def _stop(store: Store, run: Run) -> int:
    """Ask the run to stop and wait until it has."""
    print("Stopping after this step; Ctrl-C again leaves at once.", file=sys.stderr)
    with suppress(BadInput):  # it ended by itself meanwhile
        store.command(run.id, Command("cancel"), OWNER)
    with suppress(KeyboardInterrupt):
        while store.get(run.id).state in ACTIVE:
            time.sleep(LOOK_S)
    return STOPPED


def _conclude(store: Store, run: Run, json: bool) -> int:
    """Say how the run ended; the exit code. What a person can mend is wrong input, all else a failure."""
    if run.state == "done":
        if not json:
            print(f"{title(run.spec)}\n{ending(run)}\nkdlab show {run.id} tells more.")
        return 0
    print(f"{ending(run)} kdlab show {run.id} tells more.", file=sys.stderr)
    teacher = store.get(run.teacher_run) if run.teacher_run else None
    mendable = run.state == "failed" and not any(one.traceback for one in (run, teacher) if one)
    return WRONG if mendable else FAILED
