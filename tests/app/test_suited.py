"""Which panels a run's page holds."""

import numpy as np
from lab_driver import ME, Finish

from app.panels._applicable import suited
from kdcore.jobs.store import Store
from kdcore.runs.record import write_arrays
from kdcore.spec.lineage import recommended

OWN = {"target", "temperatures", "stones", "notes"}


def test_panels_join_once_the_first_frame_fills_them(store: Store) -> None:
    run = store.submit(recommended("digits", "kd"), ME)
    before = suited(run)
    assert "field" not in before
    assert "confusion" in before
    assert not OWN & set(before)
    frame = {"step": np.array(0), "cka": np.ones((1, 1)), "own_target": np.ones((2, 2))}
    write_arrays(run.folder / "frames" / "00000000.npz", frame)
    assert set(suited(run)) - set(before) == {"target", "cka"}


def test_without_a_teacher_nothing_is_compared(store: Store) -> None:
    taught = recommended("moons", "kd")
    assert taught.teacher is not None
    with_one, alone = (set(suited(store.submit(spec, ME))) for spec in (taught, taught.teacher))
    assert "field" in alone
    assert with_one - alone == {"confusion", "tug", "fidelity", "kl_parts", "affinity"}


def test_the_choice_is_kept_once_the_first_loss_is_told(finish: Finish) -> None:
    run = finish()
    assert suited(run) is suited(run)
