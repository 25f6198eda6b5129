"""The server: Streamlit's pages, the live view's routes, and the supervisor that hands runs to workers.

It loads no torch, so it starts at once and stays small; training happens in the workers' processes.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import streamlit as st
from anyio import to_thread
from starlette.middleware import Middleware
from threadpoolctl import threadpool_limits

from app import run_store
from app.helpers import comparison, loss_curves, microscope
from app.live.access import Guard
from app.live.cookie import NameBrowsers
from app.live.hub import Hub
from app.live.routes import routes
from app.paths import APP, ASSETS
from kdcore.comparison.cache import CASES
from kdcore.comparison.case import purge
from kdcore.errors import BadInput
from kdcore.jobs.local import Supervisor
from kdcore.jobs.store import Store
from kdcore.spec.catalogue import catalogue

DEMOS = ASSETS / "demo"
KEEP_DELETED_S = 7 * 86_400.0  # how long a deleted run can be brought back
KEEP_CASES_S = 30 * 86_400.0  # since somebody looked at them
COLLECT_S = 60.0  # between two collections of garbage, which Streamlit no longer does after every rerun
log = logging.getLogger("kdlab")


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Hub]]:
    """Open the store, bring the recorded runs, hand out runs and serve those who look, until the server stops."""
    store = await to_thread.run_sync(run_store.store)
    await to_thread.run_sync(catalogue)  # built here once per version of the engine, so that no page waits for it
    await to_thread.run_sync(bring_demos, store)
    await to_thread.run_sync(store.purge, KEEP_DELETED_S)
    await to_thread.run_sync(purge, KEEP_CASES_S)
    supervisor = Supervisor(store, int(os.environ.get("KDLAB_SLOTS", "1")))
    supervisor.start()
    collector = asyncio.create_task(collect_garbage())
    try:
        with threadpool_limits(1, "blas"):  # beside a worker, two threads multiply slower than one
            async with hub:
                yield {"hub": hub}
    finally:
        collector.cancel()
        await to_thread.run_sync(supervisor.stop)
        for helper in (loss_curves.helper, microscope.helper, comparison.quick, comparison.slow):
            await to_thread.run_sync(helper.stop)


def bring_demos(store: Store) -> None:
    """Make the recorded runs that come with the Lab known; a damaged one is left out and named in the log."""
    for folder in sorted(DEMOS.glob("*/")):
        try:
            store.bring(folder, run_store.DEMO)
        except BadInput as error:
            log.warning("%s", error)


async def collect_garbage() -> None:
    """Keep what the imports made out of collections, collect the rest now and then, and let cases go."""
    gc.collect()
    gc.freeze()
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(COLLECT_S)
            CASES.release()
            await to_thread.run_sync(gc.collect)


hub = Hub(run_store.store)
app = st.App(
    APP / "main.py", lifespan=lifespan, routes=routes(hub), middleware=[Middleware(Guard), Middleware(NameBrowsers)]
)
