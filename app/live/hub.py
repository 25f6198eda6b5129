"""Between the runs and those who look: notices news, draws each panel once, hands the drawing to everybody.

A run is watched while somebody looks at it. Reading and drawing happen in threads, so the loop that serves sockets
never waits for them. A slow viewer is no concern of anybody else: see `Seat`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from anyio import CapacityLimiter, to_thread

from app.live.case_watcher import PREFIX, CaseWatcher
from app.live.outbox import Seat
from app.live.render import STATUS, DrawnPanel, Looker, draw, version_of
from app.live.run_watcher import Watcher
from app.panels import Panel, View
from app.panels import panel as find_panel
from kdcore.contracts.control import Audience, Command
from kdcore.errors import BadInput
from kdcore.jobs.desk import attend
from kdcore.jobs.rows import By
from kdcore.jobs.states import ACTIVE
from kdcore.jobs.store import Store

log = logging.getLogger("kdlab.live")
POLL_S = {True: 0.02, False: 0.25}  # between two looks at a run that goes on, or does not
# least time between two drawings of a panel
GAP_S = {STATUS: 0.2, "plotly": 0.25, "gallery": 0.5, "table": 0.25, "field": 0.03}
FIRST_S = 0.03  # the same of a run that shows nothing yet: somebody waits for its first picture
VIEWER_S = 0.0009  # a viewer's part of that time: a thousand pictures a second leave the server
ATTEND_S = 1.0
FRAMES_HZ, FIELD_HZ = 2.0, 25.0  # asked of the worker, which keeps to its share of the time
KEPT, VARIANTS = 128, 8  # panels whose drawings are remembered, and for how many views each
KEPT_BYTES = 64 << 20  # most that remembered drawings take, but for those of one panel
SEATED = 64  # subscriptions of one socket


class Place(NamedTuple):
    """One subscription of one socket."""

    seat: Seat
    key: int


@dataclass(eq=False)
class Topic:
    """One panel of one run at one moment, and those who look at it."""

    show: Show
    name: str
    panel: Panel | None  # None is the status
    at: int | None
    places: dict[Place, Looker] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)  # somebody waits for a first drawing

    @property
    def gap_s(self) -> float:
        """Least time between two drawings; the more look, the longer, so that a crowd costs what a few do."""
        usual_s = GAP_S[self.panel.kind if self.panel else STATUS]
        return max(FIRST_S if self.show.watcher.begins else usual_s, len(self.places) * VIEWER_S)


@dataclass(eq=False)
class Show:
    """One run that somebody looks at."""

    watcher: Watcher | CaseWatcher
    topics: dict[tuple[str, int | None], Topic] = field(default_factory=dict)
    attended: float = float("-inf")

    @property
    def audience(self) -> Audience:
        """How often those who look need new arrays."""
        kinds = {topic.panel.kind for topic in self.topics.values() if topic.panel and topic.at is None}
        return Audience(FRAMES_HZ if kinds else 0.0, FIELD_HZ if "field" in kinds else 0.0)


class Hub:
    """Everybody who looks, and everything they look at; one per server.

    Args:
        store: how to get the store of runs.
        panels: how to find a panel by name.
    """

    def __init__(self, store: Callable[[], Store], panels: Callable[[str], Panel] = find_panel) -> None:
        self._store, self._panels = store, panels
        self.shows: dict[str, Show] = {}
        self._topics: dict[Place, Topic] = {}
        self._kept: OrderedDict[tuple[str, str, int | None], list[DrawnPanel]] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._drawers, self._readers = CapacityLimiter(2), CapacityLimiter(4)

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def store(self) -> Store:
        """The store of runs."""
        return self._store()

    # What people ask ------------------------------------------------------------------------------------------------

    async def watch(self, seat: Seat, key: int, run: str, name: str, view: View) -> None:
        """Show a panel of a run, or its status, to one subscription; again to change how it looks at it.

        Raises:
            BadInput: there is no such run or panel, or the socket has too many subscriptions.
        """
        place = Place(seat, key)
        if place not in self._topics and sum(other.seat is seat for other in self._topics) >= SEATED:
            raise BadInput(f"One page can watch at most {SEATED} panels; close some of them.")
        panel = None if name == STATUS else self._panels(name)
        show = await self._open(run)
        owned = show.watcher.run.owner in seat.owners and not show.watcher.run.recorded
        topic = show.topics.get((name, view.at)) or self._begin(show, name, panel, view.at)
        if self._topics.get(place) is not topic:
            self._part(place)
        self._topics[place] = topic
        topic.places[place] = Looker(**view.model_dump(), mine=owned)
        topic.news.set()
        topic.hurry.set()

    def leave(self, seat: Seat, key: int) -> None:
        """End a subscription and forget what waits for it; the last one to leave a topic ends it."""
        self._part(Place(seat, key))
        seat.clear(key)

    def _part(self, place: Place) -> None:
        topic = self._topics.pop(place, None)
        if topic:
            del topic.places[place]
            if not topic.places:
                topic.show.topics.pop((topic.name, topic.at), None)
                topic.news.set()

    def go(self, seat: Seat) -> None:
        """End everything a socket subscribed to."""
        for place in [place for place in self._topics if place.seat is seat]:
            self.leave(seat, place.key)

    async def control(self, run: str, wish: Command, by: By) -> None:
        """Ask something of a run.

        Raises:
            BadInput: the run is somebody else's or over, or the wish makes no sense.
        """
        await to_thread.run_sync(self.store.command, run, wish, by, limiter=self._readers)
        show = self.shows.get(run)
        if show:
            show.watcher.asked(wish)

    # What goes on behind --------------------------------------------------------------------------------------------

    def _begin(self, show: Show, name: str, panel: Panel | None, at: int | None) -> Topic:
        topic = show.topics[name, at] = Topic(show, name, panel, at)
        self._start(self._serve(topic))
        return topic

    async def _open(self, run: str) -> Show:
        """Return the show of a run, begun where nobody looked so far."""
        async with self._opening:
            if run not in self.shows:
                watcher = await to_thread.run_sync(watched, self.store, run, limiter=self._readers)
                self.shows[run] = Show(watcher)
                self._start(self._follow(self.shows[run]))
            return self.shows[run]

    async def _follow(self, show: Show) -> None:
        """Notice news of a run, and tell those who train it that somebody looks, until nobody does."""
        watcher = show.watcher
        while show.topics:
            try:
                if await to_thread.run_sync(watcher.poll, limiter=self._readers):
                    for topic in show.topics.values():
                        topic.news.set()
                await self._attend(show)
            except (BadInput, OSError) as error:
                log.warning("Run %s cannot be followed: %s", watcher.run.id, error)
                await asyncio.sleep(ATTEND_S)
            except Exception:  # a bug, but those who look would wait for news for ever
                log.exception("Run %s is followed on after an error", watcher.run.id)
                await asyncio.sleep(ATTEND_S)
            await asyncio.sleep(POLL_S[watcher.run.state in ACTIVE])
        del self.shows[watcher.run.id]

    async def _attend(self, show: Show) -> None:
        now = asyncio.get_running_loop().time()
        if now >= show.attended + ATTEND_S and any(show.audience):
            show.attended = now
            for folder in show.watcher.folders:
                await to_thread.run_sync(attend, folder, show.audience, limiter=self._readers)

    async def _serve(self, topic: Topic) -> None:
        """Draw a topic whenever there is news, not more often than its kind bears, until nobody looks."""
        while topic.places:
            await topic.news.wait()
            topic.news.clear()
            topic.hurry.clear()
            for place, view in list(topic.places.items()):
                if topic.places.get(place) is view:
                    drawn = await self._drawn(topic, view)
                    if topic.places.get(place) is view:
                        place.seat.show(place.key, drawn)
            with suppress(TimeoutError):
                await asyncio.wait_for(topic.hurry.wait(), topic.gap_s)

    async def _drawn(self, topic: Topic, view: Looker) -> DrawnPanel:
        """Return the topic as somebody with this view sees it now, drawn unless it was drawn already."""
        watcher = topic.show.watcher
        version = version_of(watcher, topic.panel, topic.at)
        index = (watcher.run.id, topic.name, topic.at)
        kept = [drawn for drawn in self._kept.get(index, []) if drawn.version == version]
        found = next((drawn for drawn in kept if drawn.serves(version, view)), None)
        if found is None:
            found = await to_thread.run_sync(draw, watcher, topic.panel, view, version, limiter=self._drawers)
            self._keep(index, [*kept[1 - VARIANTS :], found])
        return found

    def _keep(self, index: tuple[str, str, int | None], drawings: list[DrawnPanel]) -> None:
        self._kept[index] = drawings
        self._kept.move_to_end(index)
        held = sum(map(_size, self._kept.values()))
        while len(self._kept) > 1 and (len(self._kept) > KEPT or held > KEPT_BYTES):
            held -= _size(self._kept.popitem(last=False)[1])

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("What serves those who look ended", exc_info=error)


def _size(drawings: list[DrawnPanel]) -> int:
    return sum(len(drawn.payload) for drawn in drawings)


def watched(store: Store, name: str) -> Watcher | CaseWatcher:
    """Who watches a run, or a case.

    Raises:
        BadInput: there is neither of that name.
    """
    return CaseWatcher(name) if name.startswith(PREFIX) else Watcher(store, name)
