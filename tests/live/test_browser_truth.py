"""In a real browser: nothing of another run stays on show, and every number says what it is of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from browsing import PATIENCE_MS, served
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from stage import CLASSES, COST, OWNER, ROWS, Stage

from app.live.routes import SCRIPTS
from app.live.tokens import COOKIE
from app.text.phrases import percent, points_apart
from kdcore.events import Changed, Evaluated, Score, Started
from kdcore.jobs.store import Store
from kdcore.runs.record import read_arrays, write_arrays

pytestmark = pytest.mark.browser
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(Store(tmp_path_factory.mktemp("truth"))) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(store: Store, chromium: Browser) -> Iterator[Page]:
    with (
        served(store.home, "small_server:app", (HERE,)) as address,
        chromium.new_context(base_url=address, viewport={"width": 1280, "height": 900}) as context,
    ):
        context.add_cookies([{"name": COOKIE, "value": OWNER, "url": address}])
        context.set_default_timeout(PATIENCE_MS)
        yield context.new_page()


def staged(store: Store, seed: int, images: bool = False, teacher: bool = True) -> Stage:
    """A run with one frame; of images, or without a teacher, if asked."""
    stage = Stage(store, seed=seed)
    stage.begin()
    static = read_arrays(stage.run.folder / "static.npz")
    if images:
        static["probe_x"] = np.random.default_rng(seed).integers(256, size=(ROWS, 1, 8, 8)).astype(np.uint8)
    if not teacher:
        static = {name: array for name, array in static.items() if not name.startswith("teacher")}
    write_arrays(stage.run.folder / "static.npz", static)
    stage.record_frame(10)
    return stage


def show(page: Page, run: str) -> None:
    """Put another run on show in the same page."""
    page.get_by_label("Run", exact=True).fill(run)
    page.get_by_label("Run", exact=True).press("Enter")
    page.wait_for_function("run => document.querySelector('.kd-card').dataset.run === run", arg=run)


def test_tiles_have_the_faces_of_the_run_on_show(store: Store, page: Page) -> None:
    points, images = staged(store, 1), staged(store, 2, images=True)
    page.goto(f"/?run={points.id}&panels=samples")
    expect(page.locator(".kd-tile .kd-point")).to_have_count(ROWS)
    show(page, images.id)
    expect(page.locator(".kd-tile img")).to_have_count(ROWS)
    expect(page.locator(".kd-tile .kd-point")).to_have_count(0)
    show(page, points.id)
    expect(page.locator(".kd-tile img")).to_have_count(0)
    expect(page.locator(".kd-tile .kd-point").first).to_contain_text("(")


def test_the_third_plane_brings_its_legend_and_a_run_its_own_zoom(store: Store, page: Page) -> None:
    alone, taught = staged(store, 3, teacher=False), staged(store, 4)
    page.goto(f"/?run={alone.id}&panels=field")
    expect(page.locator(".kd-legend .kd-chip")).to_have_count(CLASSES)
    canvas = page.locator(".kd-plane canvas").first
    canvas.focus()
    canvas.press("+")
    show(page, taught.id)
    expect(page.locator(".kd-legend")).to_contain_text("teacher more confident")
    expect(page.locator(".kd-plane")).to_have_count(3)
    plane = page.locator(".kd-plane canvas").first
    box = plane.bounding_box()
    assert box
    plane.hover(position={"x": 1, "y": box["height"] / 2})
    expect(page.locator(".kd-readout")).to_contain_text("x -2.9")  # the whole plane


def test_the_display_follows_the_training_until_a_person_chooses(store: Store, page: Page) -> None:
    stage = staged(store, 5)
    page.goto(f"/?run={stage.id}&panels=logits,tug")
    shown = page.locator('[data-panel="logits"] output')
    expect(shown).to_have_text("4.0")
    store.append(stage.id, [Changed(step=11, path="method.temperature", old=4.0, new=9.0)])
    expect(shown).to_have_text("9.0")
    page.get_by_label("Display temperature").first.evaluate(
        "slider => { slider.value = 10; slider.dispatchEvent(new Event('input')); }"  # its eleventh stop is 2
    )
    expect(page.locator('[data-panel="tug"] output')).to_have_text("2.0")
    store.append(stage.id, [Changed(step=12, path="method.temperature", old=9.0, new=6.0)])
    expect(shown).to_have_text("2.0")
    page.get_by_role("button", name="Reset").first.click()
    expect(shown).to_have_text("6.0")


def test_readouts_name_their_split_and_step_and_a_replay_keeps_the_end(store: Store, page: Page) -> None:
    stage = staged(store, 6)
    stage.evaluate(10, 0.5)
    for step in (10, 11, 12):
        stage.tell(step)
    page.goto(f"/?run={stage.id}&panels=accuracy")
    readouts = page.locator(".kd-readouts")
    expect(readouts).to_contain_text("Student50.0 %validation, step 10")
    expect(readouts).to_contain_text("training, step 12")
    shown = f"import('{SCRIPTS}/dom.js').then((dom) => [.98051, .95349].map((share) => dom.percent(share)))"
    apart = f"import('{SCRIPTS}/dom.js').then((dom) => dom.pointsApart(.98051, .95349))"
    assert (page.evaluate(shown), page.evaluate(apart)) == (["98.1 %", "95.3 %"], "2.8")  # not 2.7
    below = f"import('{SCRIPTS}/dom.js').then((dom) => dom.pointsApart(.95, .96))"
    assert page.evaluate(below) == "\u22121.0", "as axes write it"
    stage.evaluate(20, 0.9)
    stage.record_frame(20)
    stage.finish(20)
    expect(readouts).to_contain_text("Student90.0 %validation, step 20")
    page.get_by_role("slider", name="Recorded frames").press("Home")
    expect(readouts).to_contain_text("Student50.0 %validation, step 10")
    expect(page.locator("html[data-kd-replay]")).to_be_attached()
    page.get_by_role("button", name="Latest frame").click()
    expect(page.locator("html[data-kd-replay]")).not_to_be_attached()


def test_every_share_is_rounded_the_same_way_by_pages_and_bar(page: Page) -> None:
    page.goto("/api/health")
    shares = [k / rows for rows in (16, 80, 400, 800) for k in range(rows + 1)]  # many lie between two tenths
    told = "s => import('%s/dom.js').then((dom) => s.map((one) => [dom.percent(one), dom.pointsApart(.987, one)]))"
    shown = page.evaluate(told % SCRIPTS, shares)
    own = [[percent(one), f"{points_apart(0.987, one):.1f}".replace("-", "\u2212")] for one in shares]
    assert shown == own


def test_until_there_is_word_of_a_run_nothing_of_the_last_one_is_read_out(store: Store, page: Page) -> None:
    first, second = staged(store, 11), staged(store, 12)
    first.evaluate(10, 0.5)
    first.tell(10)
    held: list[bool] = []

    def between(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda message: None if held else socket.send(message))

    with closing(page.context.new_page()) as slow:
        slow.route_web_socket(re.compile("api/live"), between)
        slow.goto(f"/?run={first.id}&panels=accuracy")
        readouts = slow.locator(".kd-readouts")
        expect(readouts).to_contain_text("Student50.0 %validation, step 10")
        held.append(True)
        slow.get_by_label("Run", exact=True).fill(second.id)
        slow.get_by_label("Run", exact=True).press("Enter")
        expect(readouts).to_contain_text("Student–")
        expect(readouts).not_to_contain_text(re.compile("[0-9]"))
        expect(slow.locator(".kd-steps")).to_be_empty()


def test_cards_out_of_sight_show_nothing_of_the_run_before(store: Store, page: Page) -> None:
    first, second = staged(store, 13, images=True), staged(store, 14, images=True)
    page.goto(f"/?run={first.id}&panels=logits,tug,reliability,affinity,samples,confusion")
    cards = [page.locator(f"[data-panel={name}]") for name in ("logits", "samples", "confusion")]
    for one in cards:
        one.scroll_into_view_if_needed()
        expect(one.locator(".kd-body")).to_be_visible()
    high = cards[2].evaluate("card => card.offsetHeight")
    page.get_by_label("Run", exact=True).scroll_into_view_if_needed()
    expect(cards[0]).to_be_in_viewport()
    expect(cards[2]).not_to_be_in_viewport()
    show(page, second.id)
    for one in cards[1:]:
        expect(one).to_have_attribute("data-empty", "waits")
        expect(one.locator(".kd-body")).to_be_hidden()
        expect(one.locator(".kd-lacks")).to_have_text("…")
    assert cards[2].evaluate("card => card.offsetHeight") == pytest.approx(high, abs=12), "the page does not jump"
    cards[2].scroll_into_view_if_needed()
    expect(cards[2]).to_have_attribute("data-run", second.id)
    expect(cards[2].locator(".kd-body")).to_be_visible()


def test_what_was_not_measured_has_no_split_and_an_axis_of_shares_nothing_below_0(store: Store, page: Page) -> None:
    stage = staged(store, 8)
    alone = Evaluated(step=0, split="val", student=Score(accuracy=0.125, nll=2.0, ece=0.1))
    store.append(stage.id, [alone])
    page.goto(f"/?run={stage.id}&panels=accuracy")
    expect(page.locator(".kd-readouts")).to_contain_text("Student12.5 %validation, step 0Teacher–Gap–Agreement–Loss")
    ticks = page.locator(".ytick")
    expect(ticks.filter(has_text="12.5%").or_(ticks.filter(has_text="20%")).first).to_be_visible()
    expect(ticks.filter(has_text="\u2212")).to_have_count(0)


def test_the_teachers_training_is_read_out_as_the_teachers(store: Store, page: Page) -> None:
    stage = Stage(store, seed=7)
    store.claim(1, stage.id)
    assert stage.run.spec.teacher
    teacher = store.adopt(stage.run.spec.teacher, OWNER)
    store.note(stage.id, teacher_run=teacher.id)
    own = Stage.__new__(Stage)
    own.__dict__ |= stage.__dict__ | {"run": teacher}
    own.evaluate(10, 0.5)
    page.goto(f"/?run={stage.id}&panels=accuracy")
    expect(page.locator(".kd-caption")).to_contain_text(
        "The teacher trains first. Then: Higher is better: the student's curve"
    )
    names = page.locator(".kd-readouts dt")
    expect(names.first).to_have_text("Teacher")
    expect(page.locator(".kd-readouts > div").first).to_have_class("kd-teacher")
    expect(page.locator(".kd-note")).to_contain_text("Training the teacher first")
    expect(page.locator(".kd-readouts")).not_to_contain_text("Student")
    whose = page.get_by_text("For the student, from its first step:")
    expect(whose).to_be_visible()
    expect(page.locator(".kd-settings")).to_have_attribute("aria-label", re.compile("^For the student"))
    facts = {"steps": 20, "device": "cpu", "torch": "2", "classes": ("a", "b"), "rows": {}}
    store.append(stage.id, [Started(step=0, student=COST, teacher=COST, **facts)])
    expect(page.locator(".kd-caption")).to_have_text(re.compile("^Higher is better: the student's curve should reach"))
    expect(whose).to_be_hidden()
    expect(page.locator(".kd-settings")).to_have_attribute("aria-label", "Settings")


def test_a_teachers_own_run_promises_no_student(store: Store, page: Page) -> None:
    stage = Stage(store, seed=8)
    assert stage.run.spec.teacher
    own = Stage.__new__(Stage)
    own.__dict__ |= stage.__dict__ | {"run": store.adopt(stage.run.spec.teacher, OWNER)}
    own.begin()
    own.evaluate(10, 0.5)
    page.goto(f"/?run={own.run.id}&panels=accuracy,samples")
    captions = page.locator(".kd-caption")
    expect(captions).to_have_text(["Higher is better.", "Click a sample to pin it in every panel."])
    readouts = page.locator(".kd-readouts")
    expect(readouts.locator("dt").first).to_have_text("Network")
    expect(readouts.locator("> div").first).to_have_class("kd-student")
    expect(readouts).not_to_contain_text("eacher")


LEAVES = """async (script) => {
  const { wire } = await import(script);
  const told = [];
  wire.join({ run: "x" }, { token: "", server: "", theme: wire.view.theme }, (view) => told.push(view.sample));
  const link = Object.assign(document.createElement("a"), { href: "/another-page" });
  link.addEventListener("click", (event) => event.preventDefault());
  document.body.append(link);
  const pause = () => new Promise((done) => setTimeout(done, 1000));
  wire.look({ sample: 3 });
  link.click();
  await pause();
  const meanwhile = [...told];
  for (let k = 0; k < 60 && !told.length; k++) await pause();
  return [meanwhile, told];
}"""


def test_who_leaves_for_another_page_is_not_called_back(page: Page) -> None:
    """Asked for both at once, Streamlit would show the old page, with none of the values of its form."""
    page.goto("/api/health")  # a page without components of its own
    meanwhile, told = page.evaluate(LEAVES, f"{SCRIPTS}/wire.js")
    assert meanwhile == []
    assert told[0] == 3, "one that did not leave in the end is heard"


def test_another_run_is_asked_for_before_the_page_is_painted(store: Store, page: Page) -> None:
    """Streamlit keeps the browser busy while it draws its page, and no frame comes meanwhile."""
    one, other = staged(store, 31), staged(store, 32)
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda said: sent.append(str(said))))
    page.goto(f"/?run={one.id}&panels=samples")
    page.wait_for_selector(".kd-card[data-run]")
    page.evaluate("window.requestAnimationFrame = () => 0")
    page.get_by_label("Run", exact=True).fill(other.id)
    page.get_by_label("Run", exact=True).press("Enter")
    asks = "run => document.querySelector('[data-panel=samples] a').href.includes(run)"
    page.wait_for_function(asks, arg=other.id, polling=100)
    page.wait_for_timeout(500)
    assert any('"op":"watch"' in said and other.id in said and '"panel":"samples"' in said for said in sent)
