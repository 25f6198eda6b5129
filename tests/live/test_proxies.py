"""The Lab behind a real nginx and in another site's frame: alive, or with a sentence that says what to set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from nginx import NGINX, Site, nginx, passed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Frame, Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(NGINX).exists(), reason="no nginx: install Debian's nginx-light"),
]
HOST = "Host $http_host"
TLS = "X-Forwarded-Proto https"
STREAMLITS_OWN = "_stcore/"  # asked below the page's own path first; the second try answers


class Behind(NamedTuple):
    """Where a browser finds a proxy, and what the server behind it has to know."""

    url: str
    locations: str
    environment: dict[str, str]
    tls: bool = False


def cases(port: int, to: str) -> dict[str, Behind]:
    """Ways to be reached through nginx on a port."""
    plain, secure = f"http://localhost:{port}", f"https://localhost:{port}"
    return {
        "prefix stripped": Behind(f"{plain}/hub/lab/", passed("/hub/lab/", f"{to}/", HOST), {}),
        "prefix kept": Behind(f"{plain}/hub/lab/", passed("/hub/lab", to, HOST), {"KDLAB_BASE": "/hub/lab"}),
        "its own Host": Behind(f"{plain}/", passed("/", to), {"KDLAB_ORIGINS": plain}),
        "TLS": Behind(f"{secure}/", passed("/", to, HOST, TLS), {}, True),
        "a name of its own": Behind(
            f"http://course.test:{port}/", passed("/", to, HOST), {"KDLAB_ORIGINS": f"http://course.test:{port}"}
        ),
    }


@contextmanager
def behind(name: str, folder: Path, chromium: Browser, **environment: str) -> Iterator[tuple[Behind, Page, list[str]]]:
    """A page behind a proxy, and what goes wrong on it."""
    from browsing import PATIENCE_MS, free_port, served

    inner, outer = free_port(), free_port()
    case = cases(outer, f"http://127.0.0.1:{inner}")[name]
    (folder / "home").mkdir()
    with ExitStack() as stack:
        stack.enter_context(served(folder / "home", port=inner, **(case.environment | environment)))
        stack.enter_context(nginx(folder, Site(outer, case.locations, case.tls)))
        context = stack.enter_context(closing(chromium.new_context(ignore_https_errors=True, reduced_motion="reduce")))
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        yield case, page, console_errors(page)


def console_errors(page: Page) -> list[str]:
    """What the console says from now on, but for what is known of Streamlit."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(error.message))
    page.on(
        "console",
        lambda one: (
            said.append(one.text)
            if one.type == "error" and STREAMLITS_OWN not in f"{one.text} {one.location.get('url')}"
            else None
        ),
    )
    return said


def is_alive(page: Page | Frame, folder: Path) -> None:
    """The replay is drawn and moves, a file is taken, its numbers come, and other pages open."""
    from playwright.sync_api import expect

    page.get_by_role("heading", name="Loss", exact=True).scroll_into_view_if_needed()
    expect(page.locator(".kd-plot .main-svg").first).to_be_visible()
    frames = page.get_by_role("slider", name="Recorded frames")
    expect(frames).not_to_have_value("")
    before = frames.input_value()
    frames.press("ArrowLeft")
    expect(frames).not_to_have_value(before)
    link = page.get_by_role("link", name="Download the data (CSV)").first
    answer = page.evaluate("async url => (await fetch(url)).status", link.get_attribute("href"))
    assert answer == 200
    page.get_by_role("link", name="Inspector").first.click()
    np.savez(folder / "answers.npz", student=np.eye(4, dtype="float32"), teacher=np.eye(4, dtype="float32"))
    page.locator("input[type=file]").first.set_input_files(str(folder / "answers.npz"))
    expect(page.get_by_text("The file has no 'student_logits'")).to_be_visible()
    page.get_by_role("link", name="Methods").first.click()
    expect(page.get_by_role("heading", name="Knowledge distillation").first).to_be_visible()


@pytest.mark.parametrize("name", list(cases(0, "")))
def test_the_pages_live_behind_a_proxy(name: str, chromium: Browser, tmp_path: Path) -> None:
    with behind(name, tmp_path, chromium) as (case, page, said):
        page.goto(case.url)
        is_alive(page, tmp_path)
        assert page.url.startswith(case.url)
        page.goto(f"{case.url}methods?method=dkd")  # a page of its own, opened by its address
        page.get_by_role("heading", name="Decoupled").first.wait_for()
        assert not page.get_by_role("alert").filter(has_text="--origin").count()
    assert said == []


def test_a_name_that_the_server_does_not_know_is_told_with_what_to_set(chromium: Browser, tmp_path: Path) -> None:
    with behind("its own Host", tmp_path, chromium, KDLAB_ORIGINS="") as (case, page, _):
        page.goto(case.url)
        alert = page.get_by_role("alert").filter(has_text="kdlab app --origin")
        alert.wait_for()
        assert f"KDLAB_ORIGINS={case.url.rstrip('/')}" in alert.inner_text()


FRAME = "<!doctype html><title>Course</title><iframe src='{url}' width=1000 height=800></iframe>"


@pytest.mark.parametrize("listed", [True, False])
def test_another_sites_frame(listed: bool, chromium: Browser, tmp_path: Path) -> None:
    """With third-party cookies blocked, as browsers do."""
    from browsing import CHROMIUM, FLAGS, PATIENCE_MS, free_port, served
    from playwright.sync_api import expect

    inner, lab, course = free_port(), free_port(), free_port()
    url, site = f"https://localhost:{lab}", f"https://127.0.0.1:{course}"
    (tmp_path / "home").mkdir()
    with ExitStack() as stack:
        frames = {"KDLAB_FRAMES": site} if listed else {}
        stack.enter_context(served(tmp_path / "home", port=inner, **frames))
        lab_site = Site(lab, passed("/", f"http://127.0.0.1:{inner}", HOST, TLS), tls=True)
        text = FRAME.format(url=url)
        course_site = Site(course, f'    location / {{ default_type text/html; return 200 "{text}"; }}', tls=True)
        stack.enter_context(nginx(tmp_path, lab_site, course_site))
        flags = [*FLAGS, "--test-third-party-cookie-phaseout"]
        browser = stack.enter_context(closing(chromium.browser_type.launch(executable_path=CHROMIUM, args=flags)))
        context: Any = browser.new_context(ignore_https_errors=True, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        said = console_errors(page)
        page.goto(site)
        frame = page.frames[1]
        if listed:
            is_alive(frame, tmp_path)
            assert said == []
        else:
            expect(frame.get_by_text(f"kdlab app --frame {site}")).to_be_visible()


def test_what_the_pages_say_of_themselves(tmp_path: Path) -> None:
    """Headers, without a browser: another test lets one meet them."""
    from urllib.request import urlopen

    from browsing import served

    with served(tmp_path) as url, urlopen(url, timeout=30) as answer:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert (
            json.dumps({"host": url.removeprefix("http://"), "origins": []}).replace('"', "&quot;")
            in answer.read().decode()
        )
