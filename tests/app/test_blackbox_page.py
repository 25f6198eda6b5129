"""The Black box page: its form is an order, its link is the page, and it plays a recorded run where there is one."""

from __future__ import annotations

from pathlib import Path

from lab_driver import Finish, Open, button, components, said, story
from safetensors.torch import save
from streamlit.testing.v1 import AppTest

from app.components import remote_consent
from kdcore.blackbox.orders import Order, spec
from kdcore.engine.build import build
from kdcore.jobs.store import Store
from kdcore.spec.lineage import further
from kdcore.spec.spec import Choice


def pick(page: AppTest, key: str, value: str) -> AppTest:
    """Choose in one of the form's lists."""
    return next(item for item in page.selectbox if item.key == f"form {key}").set_value(value).run()


def test_an_empty_store_explains_the_page(lab: Open) -> None:
    page = lab("blackbox")
    assert not page.exception
    assert "cloud model can only be queried" in said(page)
    assert "A recorded run is playing" not in said(page)
    assert components(page) == 0
    assert page.query_params == {}
    assert "Only synthetic images are sent for learning; no local image is sent." in said(page)
    assert "a real API would receive those images" in said(page)


def test_choices_say_what_leaves_the_edge(lab: Open) -> None:
    page = pick(lab("blackbox"), "preset", "kd")
    assert "does not allow that" in said(page)
    assert all(item.disabled for item in page.button if item.label == "Run")
    page = next(item for item in page.toggle if item.key == "form local").set_value(True).run()
    assert "Your local images are sent, each once." in said(page)
    assert page.query_params == {"preset": "kd", "local": "true"}


def test_probes_that_rounding_hides_are_told_and_can_be_run(lab: Open, store: Store) -> None:
    assert "lost in rounding" not in said(lab("blackbox", preset="zo_inversion"))
    page = lab("blackbox", preset="zo_inversion", upload="uint8")
    (warning,) = page.warning
    lost = "Sent as uint8, most of what Zeroth-order inversion (by queries) probes is lost in rounding"
    assert warning.value.startswith(lost)
    button(page, "Run")
    assert [run.spec.wall.upload for run in store.runs() if run.spec.wall] == ["uint8"]


def test_the_price_is_for_learning_and_measuring(lab: Open) -> None:
    asked = {"preset": "paper", "price": "2.5", "service": "http", "service.model": "m", "measure": "real"}
    page = lab("blackbox", pool="800", budget="3000", **asked)
    assert "At most 2,800 queries; cost $7.00 ($2.50 per 1,000); 717 kB of images." in said(page)
    assert not page.warning
    (warning,) = lab("blackbox", pool="300", budget="900", **asked).warning
    assert warning.value.startswith("The budget of 900 images leaves at most 600 for measuring")


def test_labels_only_hide_what_they_cannot_suffer(lab: Open) -> None:
    page = pick(lab("blackbox", digits="2"), "access", "labels")
    assert "form digits" not in [item.key for item in page.number_input]
    assert page.query_params == {"access": "labels"}
    assert "kd" not in next(item for item in page.selectbox if item.key == "form preset").options


def test_run_asks_for_exactly_this_run(lab: Open, store: Store) -> None:
    page = button(lab("blackbox", preset="paper", budget="90000", seed="3"), "Run")
    (run,) = [run for run in store.runs() if run.owner == "me"]
    assert run.spec == spec(Order(preset="paper", budget=90000, seed=3))
    assert page.query_params["run"] == run.id
    assert components(page) == 3


def test_settings_of_a_run_come_into_the_form(lab: Open, store: Store) -> None:
    run = store.submit(spec(Order(preset="released", share=0.2)), "somebody")
    page = button(lab("blackbox", run=run.id, seed="1"), "Load these settings")
    assert page.query_params == {"run": run.id, "preset": "released", "share": "0.2"}
    assert "Read-only: this run belongs to another user" in said(page)


def test_somebody_elses_teacher_is_a_file_that_is_kept(lab: Open, home: Path, store: Store) -> None:
    page = pick(lab("blackbox"), "service", "weights")
    assert "requires its file: upload one" in said(page)
    page.file_uploader[0].upload("teacher.safetensors", b"\x80\x04pickled", "application/octet-stream").run()
    assert not page.exception
    assert "service.file" not in page.query_params
    net = build(Choice(name="cnn", knobs={"width": 4}), (1, 8, 8), 10)
    weights = {name: one.contiguous() for name, one in net.state_dict().items()}
    page.file_uploader[0].upload("teacher.safetensors", save(weights), "application/octet-stream").run()
    (kept,) = (home / "uploads").iterdir()
    assert page.query_params == {"service": "weights", "service.file": kept.name}
    page = button(page, "Run")
    assert "The weights do not say what network they are of" in said(page)
    assert not store.runs(), "no failed run is left"
    for key, value in (("model", "cnn"), ("model_knobs", "width=4")):
        next(item for item in page.text_input if item.key == f"form service.{key}").set_value(value).run()
    page = button(page, "Run")
    (run,) = store.runs()
    assert run.spec.service
    assert run.spec.service.knobs["file"] == kept.name
    assert run.spec.teacher is None


def test_a_server_needs_its_models_name(lab: Open) -> None:
    page = pick(lab("blackbox"), "service", "http")
    assert "the model's name on that server" in said(page)
    next(item for item in page.text_input if item.key == "form service.model").set_value("digits").run()
    assert page.query_params == {"service": "http", "service.model": "digits"}
    assert "upload one" not in said(page)
    assert "Requests a second, at most" in [item.label for item in page.number_input]
    assert "the teacher is trained first" not in next(item for item in page.button if item.label == "Run").help


def test_published_steps_say_that_they_take_hours(lab: Open) -> None:
    assert "takes hours" not in said(lab("blackbox"))
    text = said(lab("blackbox", preset="aligned", quick="false"))
    assert "18,800 steps of the generator, then 120,000 steps of the student with 128 images each." in text
    assert (
        "100,000 steps of the teacher come first, unless it is already trained. On two CPU cores this takes hours"
        in text
    )
    assert "steps of the teacher" not in said(lab("blackbox", quick="false", service="http"))


def test_a_broken_link_is_told(lab: Open) -> None:
    page = lab("blackbox", run="nowhere", preset="frob")
    assert not page.exception
    assert "There is no preset named 'frob'" in said(page)


def test_the_lab_keeps_its_own_link(lab: Open) -> None:
    page = lab("blackbox", preset="paper")
    page.query_params = {}
    page.switch_page("views/lab.py").run()
    assert page.query_params == {}
    page.switch_page("views/blackbox.py").run()
    assert page.query_params == {"preset": "paper"}


def test_a_page_that_was_broken_off_tells_its_values_again(lab: Open) -> None:
    page = lab("blackbox").run()
    assert not any(item.proto.set_value for item in page.number_input)
    page.session_state["whole"] = False  # as a click leaves it that comes before the page has ended
    page.run()
    assert page.number_input
    assert all(item.proto.set_value for item in page.number_input)
    assert not any(item.proto.set_value for item in page.run().number_input)


def test_a_remote_teacher_asks_what_may_be_sent_for_measuring(lab: Open) -> None:
    page = pick(lab("blackbox"), "service", "http")
    assert "Agreement with the teacher and the teacher's own accuracy are not measured." in said(page)
    assert "a real cloud would have seen" not in said(page)
    page = pick(page, "measure", "real")
    assert page.query_params["measure"] == "real"
    assert "they cost the same and count towards the budget. The teacher sees real images." in said(page)
    page = pick(page, "service", "none")
    assert "measure" not in page.query_params


def test_another_seed_of_a_remote_teacher_is_confirmed_first(lab: Open, store: Store) -> None:
    """One press sent and paid at once, to the address that stood in the record."""
    far = Choice(name="http", knobs={"url": "http://127.0.0.1:9", "model": "m"})
    run = store.submit(spec(Order(preset="kd", local=True, service=far, budget=300)), "f" * 32)
    assert store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.9))
    page = button(lab("blackbox", run=run.id), "Another seed")
    assert len(store.runs()) == 1
    told = said(page).replace("\\", "")
    assert "Images go to the server at http://127.0.0.1:9. At most 300 queries; cost $0.30" in told
    assert "Up to 300 of them are local (real) images. Local (real) images of this machine are sent" in told
    page = button(page, "Cancel")
    assert "Images go to" not in said(page)
    assert len(store.runs()) == 1
    button(button(page, "Another seed"), "Send and start")
    assert [one.spec.seed for one in store.runs()] == [1, 0]


def test_more_of_an_imported_run_counts_the_run_before_it(lab: Open, finish: Finish) -> None:
    """The run it goes on from was not made here, so it is done first, and sends its images too."""
    far = Choice(name="http", knobs={"url": "http://127.0.0.1:9", "model": "m"})
    lab()
    local = further(spec(Order(preset="kd", local=True, service=far, budget=300)), [0])
    assert [one.source.name for one in remote_consent.sending([local])] == ["slice", "data"]
    assert remote_consent.sending([finish().spec]) == []
