"""The pages' hold on the engine: one store per process, opened when it is first asked for."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from kdcore.errors import BadInput
from kdcore.jobs.rows import DEMO, Run
from kdcore.jobs.store import Store
from kdcore.spec.catalogue import entry
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Spec, parse

__all__ = ["DEMO"]


@cache
def store() -> Store:
    """The store of this process; the server's lifespan and every page share it."""
    return Store()


def find(run_id: str | None) -> Run | None:
    """A run by its id, None without one.

    Raises:
        BadInput: there is no such run, or it was deleted.
    """
    run = store().get(run_id) if run_id else None
    if run and run.deleted_at:
        raise BadInput(f"Run {run_id} was deleted; its owner can restore it on the Runs page.")
    return run


def known(run_id: str) -> Run | None:
    """A run that was there a moment ago; None once it is gone for good."""
    with suppress(BadInput):
        return store().get(run_id)
    return None


def newest_demo(makes: bool, images: bool = False) -> Run | None:
    """The newest finished run with a teacher that came with the Lab, or None.

    Args:
        makes: whether its source makes its images.
        images: whether its data must be images.
    """
    ours = (run for run in store().runs(states={"done"}) if run.owner == DEMO and run.spec.teacher)
    suited = (run for run in ours if not images or len(shape(run.spec)) == 3)
    return next((run for run in suited if entry("source", run.spec.source.name)["makes"] == makes), None)


def shape(spec: Spec) -> tuple[int, ...]:
    """The shape of one input of the spec's data set, as the catalogue knows it."""
    return tuple(entry("data", spec.data.name)["shape"])


def altered(spec: Spec, **fields: Json) -> Spec:
    """The spec with some fields of its top level replaced."""
    return parse(spec.model_dump(mode="json") | fields)
