"""What a method's loss and its gradient look like in a small example, computed without a run.

`python -m kdcore.explain.loss_curves` reads requests from stdin and answers each on stdout, one line of JSON: a request
is {"method", "knobs", "example"}, an answer {"curves"} or {"error"}. The process ends with its stdin.

Networks are in eval mode. In the examples of logits the student's logits are what is looked at itself. Where rows of
a batch are compared with one another, seven fixed rows stand beside it. A peer, or an earlier self, has the logits of
the teacher where there is none; else what a method remembers comes from one earlier look at a student half as sure as
its teacher. What it trains beside the student is fitted to the teacher's own features first. A generator is untrained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from kdcore.contracts.method import Batch, Method, Pair, Term, ViewOutputs
from kdcore.contracts.net import Net, pooled, stage_shapes
from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput, sentence
from kdcore.explain.examples import REACH, Example
from kdcore.generation.networks import Generator
from kdcore.spec.registry import METHODS, MODELS
from kdcore.stdio_rpc import answered, serve

POINTS = 65  # of a curve over the logit gap
SHARES = 33  # of a curve over the share of the teacher's features
COMPANIONS = 7  # rows beside the one that is looked at, where rows matter to one another
TRAINING_ROWS = 40
FITTING_STEPS = 60
IMAGE, CLASSES = (1, 8, 8), 4  # of the example of features
JUMP = 100  # a gradient so many times that beside it is no slope: the loss has none there
NUDGE = 0.1  # of logits, to look beside them
UNTRAINED = 16  # width of the generator that stands for the one a run would train
Curves = dict[str, Any]


class LogitsNet(nn.Module):
    """Logits (B, C) that stand in the inputs (B, 2 C): the student's in the first half, the teacher's in the second."""

    def __init__(self, start: int, classes: int, share: float = 1.0) -> None:
        super().__init__()
        self.part = slice(start, start + classes)
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor) -> Tensor:
        """The logits, made weaker where `share` is below 1."""
        return x[:, self.part] * self.share


class LossExample(NamedTuple):
    """A method with all that it works on."""

    method: Method
    student: Net
    teacher: Net
    mentors: list[Net]
    state: nn.Module | None
    progress: float
    asked: list[Net]  # fresh networks that the method asked for

    @property
    def other(self) -> str | None:
        """Whom the student is compared with."""
        if self.method.needs:
            return "teacher"
        return "peer" if self.asked else "earlier self" if self.remembers else None

    @property
    def remembers(self) -> bool:
        """Whether the method keeps anything from step to step."""
        return self.state is not None and any(True for _ in self.state.buffers())

    @property
    def facts(self) -> Curves:
        """What a picture says besides its curves."""
        return {"other": self.other, "remembers": self.remembers}

    def batch(self, x: Tensor, labels: Tensor, first: int = 0) -> Batch:
        """What the method is given for inputs x (B, ...), the training rows from number `first` on."""
        asks, needs = self.method.asks, self.method.needs
        shown = self.method.mix_inputs(x, torch.Generator().manual_seed(0), self.teacher) if "mixing" in asks else None
        mine, theirs = (shown.student, shown.teacher) if shown else (x, x)
        student, teacher = self.method.wrap_student(self.student)(mine), self.teacher(theirs)
        return Batch(
            student=student,
            teacher=teacher if needs else None,
            labels=labels,
            index=torch.arange(first, first + len(labels)),
            progress=self.progress,
            inputs=mine,
            student_net=self.student,
            teacher_net=self.teacher if _inside(self.method) else None,
            second=ViewOutputs(student, teacher if needs else None, labels) if "second_view" in asks else None,
            validation=ViewOutputs(self.student(x), None, labels) if "validation" in asks else None,
            mentors=tuple(mentor(theirs) for mentor in self.mentors),
            shown=shown,
            invert=_inverse(self.student(x).logits.shape[1]) if "inverse" in asks else None,
        )

    def terms(self, x: Tensor, labels: Tensor, first: int = 0) -> tuple[Batch, dict[str, Term]]:
        """The batch and the loss's terms for inputs x (B, ...)."""
        batch = self.batch(x, labels, first)
        return batch, self.method.terms(batch, self.state)

    def remember(self, x: Tensor, labels: Tensor) -> None:
        """Let the method keep what it keeps of an earlier look."""
        with torch.no_grad():
            earlier = self._replace(progress=self.progress / 2).batch(x, labels)
            self.method.after_step(earlier, self.state)


def _inverse(classes: int) -> Callable[[Tensor], Tensor]:
    """Images of logits (B, C) by a small generator that was never trained, always the same one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(classes, IMAGE, UNTRAINED, published=False).eval().requires_grad_(False)


def curves(name: str, knobs: Mapping[str, Any], example: Example) -> Curves:
    """Arrays of one method in one example, as plain lists; which ones depends on the example's kind.

    Raises:
        BadInput: the knobs are out of bounds, or the method cannot be shown in such an example.
    """
    try:
        method = METHODS[name](**knobs)
    except ValidationError as error:
        raise sentence(error, f"Method {name!r}") from error
    torch.manual_seed(0)
    return {"two": _two, "five": _five, "features": _features}[example.kind](method, example)


# Examples of logits


def _two(method: Method, example: Example) -> Curves:
    """Over the student's logit gap: each term weighted, the total, and minus the gradient on the true logit.

    Where the loss has no slope, as one of standardised logits jumps at gap 0, there is None.
    """
    label = min(example.label, 1)
    gaps = torch.linspace(-REACH, REACH, POINTS)
    halves = torch.tensor([0.5, -0.5])
    scene, x, labels = _of_logits(method, example, example.gap * halves, example.gap * halves / 2, label)
    told: list[dict[str, Term]] = []
    push: list[Tensor] = []
    for gap in gaps:
        x[0, :2] = gap * halves
        batch, terms = scene.terms(x, labels)
        told.append(terms)
        push.append(_push(_total(terms), batch)[label : label + 1])
    slopes = [_slope(here, beside)[0] for here, beside in zip(push, [push[1], *push], strict=False)]
    return {"x": gaps.tolist(), "rows": len(x), "push": slopes, **_over(told), **scene.facts}


def _five(method: Method, example: Example) -> Curves:
    """Probabilities of both, the target where the method names one, and which classes each term pushes up or down.

    Probabilities are those at the method's temperature; a target, which methods name at temperature 1, is softened too.
    """
    teacher, student = torch.tensor(example.teacher), torch.tensor(example.student)
    scene, x, labels = _of_logits(method, example, teacher, student, example.label)
    batch, terms = scene.terms(x, labels)
    push = {key: _push(term.weight * term.value, batch) for key, term in terms.items()}
    with torch.no_grad():
        seen, notes = method.arrays(batch, scene.state), method.metrics(batch, scene.state)
    x[0, :5] += NUDGE * torch.linspace(-1, 1, 5)
    near, nearby = scene.terms(x, labels)
    beside = {key: _push(term.weight * term.value, near) for key, term in nearby.items()}
    own = seen.get("temperature")
    warmth = float(own[0]) if own is not None and own.shape == (len(x),) else getattr(method, "temperature", 1.0)
    found: Curves = {
        "rows": len(x),
        "softened": warmth,
        "student": (batch.student.logits[0] / warmth).softmax(0).tolist(),
        "teacher": (teacher / warmth).softmax(0).tolist() if scene.other else None,
        "push": {key: _slope(here, beside[key]) for key, here in push.items()},
        "value": {key: term.weight * term.value.item() for key, term in terms.items()},
        "notes": {key: float(value) for key, value in notes.items()},
        **scene.facts,
    }
    if own is not None and own.shape == (len(x),):
        found["temperature"] = warmth
    if "target" in seen and seen["target"].shape == (len(x), 5):
        found["target"] = (seen["target"][0].log() / warmth).softmax(0).tolist()
    return found


def _of_logits(
    method: Method, example: Example, teacher: Tensor, student: Tensor, label: int
) -> tuple[LossExample, Tensor, Tensor]:
    """A scene whose networks read their logits (C,) from the inputs; the inputs (B, 2 C) and labels (B,) with it."""
    if _reads_features(method):
        raise BadInput(f"{method.title} reads the teacher's features; choose the example of features to see it.")
    classes = len(teacher)
    mentors = [Net([LogitsNet(classes, classes, share)], nn.Identity()) for share in _shares(method)]
    networks = [Net([LogitsNet(start, classes)], nn.Identity()) for start in (0, classes)]
    generator = torch.Generator().manual_seed(0)
    others = torch.randn(COMPANIONS, 2 * classes, generator=generator) * 2
    x = torch.cat((torch.cat((student, teacher))[None], others))
    scene = _scene(method, example, networks[0], networks[1], mentors, (2 * classes,), classes, x)
    labels = torch.cat((torch.tensor([label]), torch.arange(COMPANIONS) % classes))
    earlier = x[:, classes:] * (0.5 if method.needs else 1.0)
    scene.remember(torch.cat((earlier, x[:, classes:]), 1), labels)
    if _rows_are_apart(scene, x, labels):
        return scene, x[:1], labels[:1]
    return scene, x, labels


def _rows_are_apart(scene: LossExample, x: Tensor, labels: Tensor) -> bool:
    """Whether the loss of a batch is the mean over the losses of its rows."""
    with torch.no_grad():
        together = _total(scene.terms(x, labels)[1])
        alone = [_total(scene.terms(x[row : row + 1], labels[row : row + 1], row)[1]) for row in range(len(x))]
        return bool(torch.isclose(together, torch.stack(alone).mean(), rtol=1e-3, atol=1e-5))


def _push(loss: Tensor, batch: Batch) -> Tensor:
    """Minus the gradient (C,) on the first row's logits, as if the loss were that row's alone."""
    logits = batch.student.logits
    if not loss.requires_grad:
        return torch.zeros(logits.shape[1])
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True, materialize_grads=True)
    return -gradient[0] * len(logits)


def _slope(push: Tensor, beside: Tensor) -> list[float | None]:
    """A push (C,) as numbers, or as many None where the loss has no slope; `beside` is the push nearby."""
    without = bool(push.abs().max() > JUMP * (1 + beside.abs().max()))
    return [None] * len(push) if without else [float(value) for value in push]


# The example of features


def _features(method: Method, example: Example) -> Curves:
    """Over the share of the way that the student's weights have gone, from another network's to the teacher's own."""
    student, teacher = _network(), _network()
    scene = _scene(method, example, student, teacher, [_network() for _ in _shares(method)], IMAGE, CLASSES)
    labels = torch.arange(2 * CLASSES) % CLASSES
    x = torch.randn(len(labels), *IMAGE)
    scene.remember(x, labels)
    start = {key: value.clone() for key, value in scene.student.named_parameters()}
    goal = dict(scene.teacher.named_parameters())
    _walk(scene.student, start, goal, 1.0)
    _fit(scene, goal, x, labels)
    told = []
    shares = torch.linspace(0, 1, SHARES)
    for share in shares.tolist():
        _walk(scene.student, start, goal, share)
        told.append(scene.terms(x, labels)[1])
    return {"x": shares.tolist(), "rows": len(x), **_over(told), **scene.facts}


@torch.no_grad()
def _network() -> Net:
    """A fresh network that is about as sure as a trained one."""
    net = MODELS["cnn"].model_validate({"width": 8}).build(IMAGE, CLASSES)
    for weight in net.head.parameters():
        weight.mul_(10)
    return net


@torch.no_grad()
def _walk(student: Net, start: Mapping[str, Tensor], goal: Mapping[str, Tensor], share: float) -> None:
    """Put the student's weights on the way from `start` to `goal`, where the teacher has their like."""
    for key, weight in student.named_parameters():
        if key in goal and goal[key].shape == weight.shape:
            weight.copy_(torch.lerp(start[key], goal[key], share))


def _fit(scene: LossExample, goal: Mapping[str, Tensor], x: Tensor, labels: Tensor) -> None:
    """Train what the method trains beside what the student has of the teacher, which stands still."""
    added = [weight for key, weight in scene.student.named_parameters() if key not in goal]
    beside = [*(scene.state.parameters() if scene.state else ()), *added]
    own = [weight for weight in beside if weight.requires_grad]
    if not own:
        return
    sizes = [torch.zeros_like(weight) for weight in own]
    for _ in range(FITTING_STEPS):
        loss = _total(scene.terms(x, labels)[1])
        gradients = torch.autograd.grad(loss, own, materialize_grads=True)
        with torch.no_grad():
            for weight, gradient, size in zip(own, gradients, sizes, strict=True):
                size.lerp_(gradient.square(), 0.1)
                weight.sub_(0.02 * gradient / (size.sqrt() + 1e-8))  # RMSProp; torch.optim takes seconds to load


# Both


def _inside(method: Method) -> bool:
    return bool(method.needs & {"blocks", "gradients"})


def _reads_features(method: Method) -> bool:
    return bool(method.needs & {"features", "blocks", "gradients"})


def _shares(method: Method) -> Iterator[float]:
    """How strong the mentors of a method are, the teacher being 1; none where it has one teacher."""
    if method.lineage not in ("peers", "copies"):
        return iter(())
    count = max(1, int(getattr(method, method.lineage)) - (method.lineage == "copies"))
    return ((place + 1) / (count + 1) for place in range(count))


def _scene(
    method: Method,
    example: Example,
    student: Net,
    teacher: Net,
    mentors: list[Net],
    shape: tuple[int, ...],
    classes: int,
    first: Tensor | None = None,
) -> LossExample:
    """The method joined to its networks for inputs of `shape`, all in eval mode; `first` are rows it may ask about."""
    for net in (teacher, *mentors):
        net.eval().requires_grad_(False)
    student, teacher = (
        method.adapt_student(student, teacher if "blocks" in method.needs else None),
        method.wrap_teacher(teacher),
    )
    fresh = _network if shape == IMAGE else lambda: Net([LogitsNet(classes, classes)], nn.Identity())
    rows = torch.randn(TRAINING_ROWS, *shape)
    known = rows if first is None else torch.cat((first, rows[len(first) :]))
    asked: list[Net] = []

    def ask() -> Net:
        asked.append(fresh())
        return asked[-1]

    def answers() -> Outputs:
        told = teacher(rows)
        return Outputs(told.logits, tuple(pooled(feature) for feature in told.features))

    state = method.connect(
        Pair(
            student=stage_shapes(method.wrap_student(student), shape),
            teacher=stage_shapes(teacher, shape),
            classes=classes,
            labels=torch.arange(TRAINING_ROWS) % classes,
            student_net=student,
            teacher_net=teacher if _inside(method) else None,
            fresh=ask,
            answers=answers,
            shown=torch.arange(TRAINING_ROWS),
            inputs=lambda index: known[index],
            ask=lambda x, _: Outputs(teacher(x).logits, ()),
        )
    )
    return LossExample(
        method, student.eval(), teacher, mentors, state.eval() if state else None, example.progress, asked
    )


def _total(terms: Mapping[str, Term]) -> Tensor:
    return torch.stack([term.weight * term.value for term in terms.values()]).sum()


def _over(told: list[dict[str, Term]]) -> Curves:
    """The weighted value of each term at each point, and their total."""
    terms = {key: [terms[key].weight * terms[key].value.item() for terms in told] for key in told[0]}
    return {"terms": terms, "total": [sum(values) for values in zip(*terms.values(), strict=True)]}


def answer(line: str) -> dict[str, Any]:
    """The answer to one request; what a person can mend is told in it, anything else is raised."""
    return answered(
        line,
        lambda asked: {"curves": curves(asked["method"], asked["knobs"], Example.model_validate(asked["example"]))},
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(answer)
