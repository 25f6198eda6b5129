"""Models x a fixed probe set -> arrays. Measuring changes nothing: eval mode, and no random number is drawn.

The probe set is the first rows of a seeded order of the validation split; looking never touches the test split.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.contracts.data import Dataset
from kdcore.contracts.method import Term
from kdcore.contracts.net import CHUNK, Net, pooled
from kdcore.contracts.outputs import Outputs
from kdcore.events import Score
from kdcore.nn.representations import attention, unit_grams
from kdcore.probes.field import surrounding
from kdcore.spec.query_limits import PROBE_ROWS

PLANE = 100  # points along one side of the decision field
GRADIENT_ROWS = 32
MAP_ROWS = 12  # probe rows whose maps of attention are taken
ECE_BINS = 15

Normalise = Callable[[Tensor], Tensor]
Arrays = dict[str, np.ndarray]


@torch.no_grad()
def answers(net: Net, x: Tensor, normalise: Normalise) -> Tensor:
    """Logits (N, C) float32 for raw rows x, in eval mode; the mode is put back."""
    training = net.training
    net.eval()
    logits = torch.cat([net(normalise(chunk)).logits.float() for chunk in torch.split(x, CHUNK)])
    net.train(training)
    return logits


@torch.no_grad()
def answers_within(net: Net, inputs: Tensor) -> Outputs:
    """Logits (N, C) and each stage's feature as vectors (N, K), float32, in eval mode; the mode is put back."""
    training = net.training
    found = net.eval()(inputs)
    net.train(training)
    return Outputs(found.logits.float(), tuple(pooled(feature.float()) for feature in found.features))


def score(logits: Tensor, labels: Tensor) -> Score:
    """Accuracy, mean negative log-likelihood and expected calibration error.

    ECE is the mean absolute difference of accuracy and confidence over 15 equal-width bins, weighted by their rows
    (Guo et al., On Calibration of Modern Neural Networks, ICML 2017); confidence 1 falls into the last bin.
    """
    log_q = logits.double().log_softmax(1)
    confidence, top = log_q.exp().max(1)
    right = (top == labels).double()
    place = (confidence * ECE_BINS).long().clamp(max=ECE_BINS - 1)
    gap = torch.zeros(ECE_BINS, dtype=torch.double, device=logits.device).index_add_(0, place, right - confidence)
    nll = -log_q.gather(1, labels[:, None]).mean()
    return Score(accuracy=float(right.mean()), nll=float(nll), ece=float(gap.abs().sum() / len(labels)))


def compare(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> dict[str, float]:
    """How near the student is to the teacher, at temperature 1.

    "agreement" is the share of rows with the same answer; "kl" the mean KL(teacher || student) in nats, and
    "kl_target" its part on the question whether the class is the true one. The rest is what the teacher tells of the
    other classes (Zhao et al., Decoupled Knowledge Distillation, CVPR 2022, equation 5).
    """
    log_p, log_q = teacher_logits.double().log_softmax(1), student_logits.double().log_softmax(1)
    same = (log_p.argmax(1) == log_q.argmax(1)).double().mean()
    true = F.one_hot(labels, log_p.shape[1]).bool()
    binary = [torch.stack((log[true], log.masked_fill(true, -torch.inf).logsumexp(1)), dim=1) for log in (log_p, log_q)]
    whole, target = ((p.exp() * (p - q)).sum(1).mean() for p, q in ((log_p, log_q), binary))
    return {"agreement": float(same), "kl": float(whole), "kl_target": float(target)}


def probe_rows(count: int) -> Tensor:
    """The rows of a split of `count` that stand for all of it: the first of a fixed random order."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:PROBE_ROWS]


class Probe:
    """The fixed rows and the plane one run is looked at through.

    Args:
        data: the run's data set.
        student, teacher: the networks; the teacher's answers are taken once.
        normalise: raw rows -> inputs, on the device.
        device: where the networks are.
        look: asks a service in place of a teacher's network; it shows no features.
    """

    def __init__(
        self,
        data: Dataset,
        student: Net,
        teacher: Net | None,
        normalise: Normalise,
        device: torch.device,
        look: Callable[[Tensor], Outputs | None] | None = None,
    ) -> None:
        self.student, self.teacher, self.normalise, self.device = student, teacher, normalise, device
        order = probe_rows(len(data.val.y)).numpy()
        x = data.val.x[order]
        self.x = torch.from_numpy(x).to(device)
        self.static: Arrays = {"probe_index": order, "probe_labels": data.val.y[order], "probe_x": x}
        if teacher:
            self._ask(teacher)
        elif look and (told := look(normalise(self.x))):
            self.static["teacher_logits"] = told.logits.cpu().numpy()
        self.plane: Tensor | None = None
        if x.ndim == 2 and x.shape[1] == 2:
            self._lay_plane(data)

    def _ask(self, teacher: Net) -> None:
        """What the teacher says of the probe rows, and what is kept of it to compare the student with."""
        told = answers_within(teacher, self.normalise(self.x))
        self.static["teacher_logits"] = told.logits.cpu().numpy()
        self.grams, self.asked = unit_grams(told.features), told.logits[:MAP_ROWS].argmax(1)
        self.static |= self._maps("teacher_maps", teacher)

    def _maps(self, name: str, net: Net) -> Arrays:
        """Where a network looks for the teacher's answers; {} where it has no maps."""
        maps = attention(net, self.normalise(self.x[:MAP_ROWS]), self.asked)
        return {} if maps is None else {name: maps.cpu().numpy()}

    def _lay_plane(self, data: Dataset) -> None:
        """A square of PLANE x PLANE points around the training points, and the teacher's answer on it."""
        extent = surrounding(data.train.x)
        xs, ys = np.linspace(extent[0], extent[1], PLANE), np.linspace(extent[2], extent[3], PLANE)
        grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float32)
        self.plane = self.normalise(torch.from_numpy(grid).to(self.device))
        self.static |= {"extent": extent, "train_points": data.train.x, "train_labels": data.train.y}
        self.teacher_class: Tensor | None = None
        if self.teacher:
            share, top = self._plane_shares(self.teacher).max(1)
            self.teacher_class = top
            self.static |= {"teacher_field_class": _square(top), "teacher_field_share": _square(share * 255 + 0.5)}

    @torch.no_grad()
    def _plane_shares(self, net: Net) -> Tensor:
        """Probabilities (PLANE * PLANE, C) over the plane."""
        training = net.training
        net.eval()
        assert self.plane is not None
        shares: Tensor = net(self.plane).logits.float().softmax(1)
        net.train(training)
        return shares

    def field(self, step: int) -> Arrays:
        """The student's decision field; {} where the data are not 2-D."""
        if self.plane is None:
            return {}
        shares = self._plane_shares(self.student)
        share, top = shares.max(1)
        arrays = {"step": np.array(step), "field_class": _square(top), "field_share": _square(share * 255 + 0.5)}
        if self.teacher_class is not None:
            followed = shares.gather(1, self.teacher_class[:, None])[:, 0]
            arrays["field_teacher_share"] = _square(followed * 255 + 0.5)
        return arrays

    def frame(self, step: int) -> Arrays:
        """What the panels read about this step, the gradients apart."""
        told = answers_within(self.student, self.normalise(self.x))
        arrays = {**self.field(step), "step": np.array(step), "student_logits": told.logits.cpu().numpy()}
        if self.teacher is None:
            return arrays
        likeness = unit_grams(told.features) @ self.grams.T
        return arrays | {"cka": likeness.float().cpu().numpy()} | self._maps("student_maps", self.student)


def _square(values: Tensor) -> np.ndarray:
    """PLANE x PLANE bytes, row 0 at the bottom."""
    return values.to(torch.uint8).cpu().numpy().reshape(PLANE, PLANE)


def gradients(modules: nn.Module, student: Net, terms: Callable[[], dict[str, Term]]) -> Arrays:
    """Norms (T,) and cosines (T, T) of the weighted loss terms' gradients on the student's weights, in eval mode.

    Args:
        modules: all that learns, put into eval mode meanwhile.
        student: the network whose weights are meant.
        terms: the loss terms on fixed rows.
    """
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    modules.eval()
    try:
        found = terms()
        stacked = torch.stack([_flat_gradient(term, weights) for term in found.values()]).double()
    finally:
        modules.train()
    norms = stacked.norm(dim=1)
    unit = stacked / norms.clamp(min=1e-30)[:, None]
    return {
        "gradient_names": np.array(list(found)),
        "gradient_norms": norms.cpu().numpy(),
        "gradient_cosines": (unit @ unit.T).cpu().numpy(),
    }


def _flat_gradient(term: Term, weights: list[nn.Parameter]) -> Tensor:
    """The gradient of one weighted term on all weights, as one vector; zero where the term does not reach."""
    if not term.value.requires_grad:
        return torch.cat([torch.zeros_like(weight).flatten() for weight in weights])
    value = term.weight * term.value
    parts = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True)
    filled = [torch.zeros_like(w) if g is None else g for g, w in zip(parts, weights, strict=True)]
    return torch.cat([part.flatten() for part in filled])
