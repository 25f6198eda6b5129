"""One image of one run under the lens: what teacher and student say of it, and the images that stand for their answers.

`python -m kdcore.blackbox.microscope` reads requests from stdin and answers each on stdout, one line of JSON: a request
is {"folder", "spec", "teacher", "row" or "latent", "ask"}, an answer {"sight"} or {"error"}. The process ends with its
stdin. Weights are those of the run's end, or of its newest checkpoint while it goes on.

A teacher that is a run of ours is asked freely. Somebody else's is asked only where a request says so; what it answered
is kept beside the run and counted apart from the run's own questions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdcore.blackbox.loaded_run import Bench, weights_of
from kdcore.contracts.method import Batch, Method
from kdcore.contracts.outputs import Outputs
from kdcore.runs.record import stamp_of
from kdcore.single_entry_cache import SingleEntryCache
from kdcore.spec.spec import parse
from kdcore.stdio_rpc import answered, serve

CHUNK = 8192  # rows compared at a time
OUTSIDE = {"labels", "probabilities", "logits"}  # what a method may read of the teacher to be looked at for one image
Sight = dict[str, Any]


@torch.no_grad()
def sight(bench: Bench, image: Tensor, row: int | None, ask: bool) -> Sight:
    """Everything about one image (1, K, H, W) in [-1, 1], as plain numbers.

    Args:
        bench: the run.
        image: what is under the lens.
        row: its number among the probe images, where it is one.
        ask: whether somebody else's teacher may be asked about it, for money.
    """
    theirs, ours = bench.teachers(image, row, ask), bench.student(bench.inputs(image)).logits.float()
    sets = [where for where in bench.images if row is None or where != "held out"]  # probe images are held out
    limit = bench.by_hand.spare if bench.by_hand else None
    found: Sight = {
        "classes": list(bench.classes),
        "label": None if row is None else bench.labels[row],
        "image": _shown(image),
        "student": ours[0].softmax(0).tolist(),
        "teacher": None if theirs is None else _believed(bench, theirs),
        "may_ask": theirs is None and bench.spec.service is not None,
        "left": limit.left if limit else None,  # of the budget; None where nothing limits it
        "says": limit.says if limit else "",
        "asked": bench.asked,
        "samples": bench.samples,
        "step": bench.step,
        "rows": len(bench.probe),
        "cycle": bench.cycle,
        "nearest": [_nearest(bench, where, image) for where in sets],
    }
    if bench.inverts:
        found |= _inverses(bench, ours, theirs)
    return found | ({} if theirs is None else {"loss": _loss(bench, image, ours, theirs)})


def _believed(bench: Bench, logits: Tensor) -> list[float]:
    """What an answer (1, C) says: probabilities, or all on the one class that was told."""
    told: list[float] = (logits if bench.spec.access == "labels" else logits.softmax(1))[0].tolist()
    return told


def _inverses(bench: Bench, ours: Tensor, theirs: Tensor | None) -> Sight:
    """The images of both answers, their difference, and what the teacher says of the image of its own."""
    mine = bench.inverse(ours)
    if theirs is None:
        return {"inverse_student": _shown(mine)}
    goal = bench.inverse(theirs)
    again = bench.through_wall(bench.teacher_net, goal)[0].argmax().item() if bench.teacher_net else None
    pair = {"inverse_teacher": _shown(goal), "inverse_student": _shown(mine)}
    return pair | {"difference": _shown((goal - mine).abs() - 1), "again": again}


def _loss(bench: Bench, image: Tensor, ours: Tensor, theirs: Tensor) -> dict[str, float]:
    """What the method asks of the student for this image alone, term by term, weighted; {} where rows matter to it."""
    method = bench.method
    beside = method.asks - {"inverse"} or method.needs - OUTSIDE or type(method).connect is not Method.connect
    if beside or (method.asks and not bench.inverts):
        return {}
    batch = Batch(
        student=Outputs(ours, ()),
        teacher=Outputs(theirs, ()),
        labels=torch.tensor([-1]),
        index=torch.tensor([0]),
        progress=1.0,
        inputs=bench.inputs(image),
        student_net=bench.student,
        invert=bench.inverse if bench.inverts else None,
    )
    terms = method.terms(batch, None)
    return {name: term.weight * term.value.item() for name, term in terms.items()}


def _nearest(bench: Bench, where: str, image: Tensor) -> Sight:
    """The image of one set that is nearest, by the root mean square difference of pixels from 0 to 1."""
    pixels, images = ((image + 1) * 127.5).flatten(1), bench.images[where]
    gaps = [(part.flatten(1).float() - pixels).square().mean(1) for part in torch.split(images, CHUNK)]
    gap, place = torch.cat(gaps).min(0)
    return {"where": where, "image": images[place].tolist(), "distance": gap.sqrt().item() / 255}


def _shown(images: Tensor) -> list[Any]:
    """The first of images (B, K, H, W) in [-1, 1] as bytes."""
    pixels: list[Any] = ((images[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).tolist()
    return pixels


BENCHES: SingleEntryCache[Bench] = SingleEntryCache()


def bench_of(folder: Path, spec: str, teacher: str | None) -> Bench:
    """The bench of a run, set up anew when its weights have changed."""

    def make() -> Bench:
        return Bench(parse(spec), folder, Path(teacher) if teacher else None, weights_of(folder))

    return BENCHES.get((folder, teacher, stamp_of(folder)), make)


def answer(line: str) -> dict[str, Any]:
    """The answer to one request; what a person can mend is told in it, anything else is raised."""
    return answered(line, _asked)


def _asked(asked: dict[str, Any]) -> dict[str, Any]:
    seen = bench_of(Path(asked["folder"]), asked["spec"], asked.get("teacher"))
    row = asked.get("row")
    image = seen.row(row) if row is not None else seen.latent(asked["latent"])
    return {"sight": sight(seen, image, row, bool(asked.get("ask")))}


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(answer)
