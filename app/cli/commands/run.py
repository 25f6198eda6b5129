"""A run without a browser: submitted to the store, done here unless a Lab's worker takes it, told as it goes.

The run is done in a thread of its own, so that Ctrl-C never falls into a step or a transaction: it asks the store to
cancel, as the Lab's button does, and the run ends between two steps.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from app.cli.common import FAILED
from app.cli.progress import Bar, Lines, Teller, ending
from app.text.orders import costs
from app.text.phrases import ago, title
from kdcore.blackbox.orders import drowned
from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.jobs.leases import Leases, settle
from kdcore.jobs.rows import TERMINAL, Run
from kdcore.jobs.states import ACTIVE, RESUMABLE, IllegalMove
from kdcore.jobs.store import Store
from kdcore.spec.query_limits import cramped
from kdcore.spec.spec import Spec
from kdcore.terminal import say, warn
from kdcore.upload_checks.before_run import check_file

if TYPE_CHECKING:
    from kdcore.jobs.worker import Worker

LOOK_S = 0.1  # between two looks at the store
PATIENCE_S = 3.0  # with a remote teacher, once the run is to stop; a step on this machine is waited for
STOPPED = 130


class Doing(threading.Thread):
    """Does a claimed run beside the one who follows it."""

    def __init__(self, worker: Worker, run: Run) -> None:
        super().__init__(name="run", daemon=True)
        self.worker, self.claimed = worker, run
        self.error: BadInput | None = None  # why the store does not know how the run ended

    def run(self) -> None:
        """Do the run to whatever end."""
        try:
            self.worker.work(self.claimed)
        except BadInput as error:
            self.error = error


def distil(spec: Spec, *, fresh: bool, json: bool) -> int:
    """Do a run, or tell again one that was done; the exit code."""
    store = Store()
    settle(store)
    check_file(spec)
    broken = _broken_off(store, spec)
    run = store.submit(spec, TERMINAL, fresh=fresh)
    for said in _promised(spec):
        warn(said)
    if run.state == "done":
        warn(f"Run {run.id} did this {ago(run.finished_at or 0.0)}; --fresh runs it again.")
        teller = _teller(json)
        for event in store.story(run.id):
            teller.event(event)
        return _conclude(run, json)
    if broken and not fresh:
        hint = f"kdlab resume {broken.id} goes on from there instead."
        warn(f"Run {broken.id} has these settings and broke off at step {broken.step}; {hint}")
    return _do(store, run, json)


def _promised(spec: Spec) -> list[str]:
    """Return what rounding hides, what a remote teacher will cost at most, and whether that leaves enough for
    measuring.
    """
    return [said for said in (drowned(spec), costs(spec) if spec.remote else "", cramped(spec)) if said]


def resume(run_id: str, *, json: bool) -> int:
    """Go on with a run that broke off, whoever began it in this home; the exit code.

    A run of the terminal that still waits is begun: its command may be gone, and if it is not, the one that claims the
    run first does it.

    Raises:
        BadInput: there is no such run, or it did not break off.
    """
    store = Store()
    settle(store)
    run = store.get(run_id)
    told = store.events(run_id, limit=None)
    waits = run.state == "queued" and run.owner == TERMINAL
    return _do(store, run if waits else store.resume(run_id, run.owner), json, after=told[-1].seq if told else 0)


def _broken_off(store: Store, spec: Spec) -> Run | None:
    """Return the newest run of the terminal with the same settings that broke off behind its first step."""
    found = (run for run in store.runs(states=RESUMABLE) if run.owner == TERMINAL and run.hash == spec.hash)
    return next((run for run in found if run.step), None)


def _teller(json: bool) -> Teller:
    return Lines() if json else Bar() if sys.stderr.isatty() else Teller()


def _do(store: Store, run: Run, json: bool, after: int = 0) -> int:
    """Do a run that waits, or follow one under way, telling its events behind number `after`; the exit code."""
    ours, doing = run.state == "queued", None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does; a worker of the Lab would go on and pay
    try:
        doing = _begin(store, run) if ours else None
        return _conclude(_follow(store, run, _teller(json), doing, after), json)
    except KeyboardInterrupt:
        return _stop(store, run, doing) if ours else STOPPED
    except BrokenPipeError:  # whoever listened has gone
        if ours:
            _stop(store, run, doing)
        raise


def _begin(store: Store, run: Run) -> Doing | None:
    """Do the run in a thread, if it still waits once torch is loaded."""
    from kdcore.jobs.worker import Worker

    logging.getLogger("kdcore").setLevel(logging.CRITICAL)  # the run's row keeps what went wrong
    worker = Worker(store)
    claimed = store.claim(os.getpid(), run.id)
    if claimed is None:
        return None
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: worker.stopping.set())  # the run can be resumed then
    doing = Doing(worker, claimed)
    doing.start()
    return doing


def _follow(store: Store, run: Run, teller: Teller, doing: Doing | None, after: int) -> Run:
    """Tell what happens until the run is over; the run as it is then.

    Raises:
        BadInput: the store can no longer be used.
    """
    leases = Leases(store)
    with teller:
        while True:
            ended = doing is not None and not doing.is_alive()  # before the look, which then sees how
            run = store.get(run.id)
            teller.look(run, store.get(run.teacher_run) if run.teacher_run else None)
            for heard, _, event in store.events(run.id, after, limit=None):
                teller.event(event)
                after = heard
            if run.state not in ACTIVE:
                return run
            if ended and doing and doing.claimed.attempt == run.attempt:
                raise doing.error or RuntimeError(f"Run {run.id} ended and the store does not know how.")
            if doing is None:
                leases.look()
            time.sleep(LOOK_S)


def _stop(store: Store, run: Run, doing: Doing | None) -> int:
    """Ask the run to stop and wait until it has; for a remote teacher that owes an answer only a moment."""
    warn("Stopping after this step; Ctrl-C again leaves at once.")
    try:
        store.command(run.id, Command("cancel"), run.owner)
    except BadInput:  # it ended by itself meanwhile, or the store refuses
        if doing:
            doing.worker.stopping.set()
    leases = Leases(store)
    patient_until = time.monotonic() + (PATIENCE_S if doing and run.spec.remote else math.inf)
    with suppress(KeyboardInterrupt):
        while store.get(run.id).state in ACTIVE and (doing is None or doing.is_alive()):
            if doing is None:
                leases.look()
            elif time.monotonic() > patient_until:
                _abandon(store, doing.claimed)
            time.sleep(LOOK_S)
    if store.get(run.id).state in RESUMABLE:
        warn(f"kdlab resume {run.id} goes on.")
    return STOPPED


def _abandon(store: Store, run: Run) -> None:
    """Call a run stopped whose step waits for its teacher; what was answered is kept, and its checkpoint stands."""
    with suppress(IllegalMove):  # it stopped by itself
        store.move(run.id, "cancelled", attempt=run.attempt, message="Stopped while its teacher owed an answer.")


def _conclude(run: Run, json: bool) -> int:
    """Say how the run ended; the exit code. Wrong input never becomes a run, so whatever broke one off is a failure."""
    if run.state == "done":
        if not json:
            say(f"{title(run.spec)}\n{ending(run)}\nkdlab show {run.id} tells more.")
        return 0
    goes_on = f", kdlab resume {run.id} goes on" if run.state in RESUMABLE else ""
    warn(f"{ending(run)} kdlab show {run.id} tells more{goes_on}.")
    return FAILED
