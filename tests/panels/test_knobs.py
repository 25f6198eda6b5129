"""Settings of panels of a case, as the view carries them."""

from app.panels import View, knob, turned


def test_a_knob_reads_what_it_was_turned_to_and_its_default_again() -> None:
    view = View(knobs=turned(View(knobs="colour=kl"), "third", "12"))
    assert view.knobs == "colour=kl;third=12"
    assert knob(view, "colour") == "kl"
    assert knob(view, "bins", "15") == "15"
    assert turned(view, "colour", "") == "third=12"


def test_nonsense_turns_nothing() -> None:
    assert knob(View(knobs=";;=;colour"), "colour", "part") == "part"
