"""Setter-Solver: an invertible network sets tasks of any asked feasibility."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._networks import Learner, Network, dense, perceptron, training
from currgym.teaching import Batch, Reason, State, Teacher, register

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]

BLOCKS = 3
JUDGE_LAYERS = (64, 64, 64)
BATCH = 64
# Tasks are set so many at a time, which costs little more than one.
SET_TOGETHER = 64
# Feasibilities and tasks stay this far from 0 and 1, where the logit is infinite.
MARGIN = 1e-3
LEAST_SCALE = 1e-2
# A scale of 1 where a coupling's network says 0.
SCALE_SHIFT = math.log(math.expm1(1.0 - LEAST_SCALE))


@register(
    "setter-solver",
    presets={
        "class": {
            "update_size": 100, "buffer_size": 100, "steps": 1, "noise": 0.01, "hidden_size": 128,
        },
        "teachmyagent": {
            "update_size": 50, "buffer_size": 50, "steps": 1, "noise": 0.1, "hidden_size": 64,
        },
    },
)  # fmt: skip
class SetterSolver(Teacher):
    """Set tasks of every feasibility with an invertible network that learns from what was solved.

    A judge, a perceptron, learns which tasks are solved. The setter, a conditional real-NVP, turns
    noise and an asked feasibility f, uniform in [0, 1], into a task. Three losses shape it: what
    was solved is likely (validity), the judge agrees with f (feasibility), and tasks are as diverse
    as that allows (coverage).

    Source: Racaniere, Lampinen, Santoro, Reichert, Firoiu, Lillicrap, "Automated curricula through
    setter-solver interactions", ICLR 2020, https://arxiv.org/abs/1909.12892 (the three losses, the
    judge); presets from TeachMyAgent (https://arxiv.org/abs/2103.09815), its class and its
    benchmark.

    Differences: a task counts as achieved when the attempt at it succeeded, for a teacher does not
    see which other goal was reached; no desired distribution of goals and no observation as
    condition (the paper's variants). Judge and setter learn from mini-batches of the latest
    ``buffer_size`` attempts, without the paper's millions. From TeachMyAgent's form: latents of
    feasibility and coverage come from the prior, as in the paper, and not from inverted tasks;
    validity is left out of a batch without success, where it was a mean of nothing; tasks are kept
    off the ends of the cube, where the logit is infinite; the noise on solved tasks is centred; the
    judge has all its layers; any outcome of a task teaches, not only that of the latest one.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 with ``measure="return"``.
        update_size: Attempts between updates; at least 1.
        steps: Gradient steps of each update; at least 1.
        buffer_size: Latest attempts that they learn from; at least 1.
        noise: Width of the uniform noise on solved tasks, as a share of the range, in [0, 1].
        hidden_size: Units of each layer of the setter; at least 1.
        lr: Learning rate of both Adams; above 0.
        measure: ``"success"`` or ``"return"`` in [0, 1].

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("setter-solver", space, seed=0, update_size=10)
    >>> tasks = teacher.sample(10)
    >>> teacher.update(Outcomes(tasks, tasks[:, 0], successes=tasks[:, 0] < 1))
    >>> teacher.snapshot()["fits"]
    1
    """

    spaces = frozenset({"box"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        update_size: int = 100,
        steps: int = 5,
        buffer_size: int = 1000,
        noise: float = 0.05,
        hidden_size: int = 64,
        lr: float = 3e-4,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value in (
            ("update_size", update_size), ("steps", steps), ("buffer_size", buffer_size),
            ("hidden_size", hidden_size),
        ):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0.0 <= noise <= 1.0:
            raise ValueError(f"noise must lie in [0, 1], got {noise}")
        if not lr > 0.0:
            raise ValueError(f"lr must be above 0, got {lr}")
        check_measure(measure)
        self.update_size = update_size
        self.steps = steps
        self.buffer_size = buffer_size
        self.noise = noise
        self.hidden_size = hidden_size
        self.lr = lr
        self.measure: Measure = measure

        dim = space.unit_dim
        self.setter = Network(_setter_parameters(dim, hidden_size, self.rng))
        self.judge = Network(dense((dim, *JUDGE_LAYERS, 1), self.rng))
        self.fits = self.failed_fits = 0
        self.losses = np.zeros(4)
        """Of the latest step: judge, validity (0 without success), feasibility, coverage."""
        self._tasks, self._values = np.zeros((buffer_size, dim)), np.zeros(buffer_size)
        self._count = 0
        self._set = np.zeros((0, dim + 1))
        """Tasks that are set and wait to be proposed, the asked feasibility last."""

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are its measure."""
        return needs_of(self.measure)

    # Setting -------------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        if not self.space.unit_dim:
            return np.zeros((n, 0))
        while len(self._set) < n:
            self._set = np.concatenate([self._set, self._set_tasks(rng)])
        taken, self._set = self._set[:n], self._set[n:]
        self._origins = taken[:, -1].copy()
        return taken[:, :-1]

    def _set_tasks(self, rng: np.random.Generator) -> FloatArray:
        """Return ``(SET_TOGETHER, unit_dim + 1)``: tasks and the feasibility each was asked for."""
        import torch

        with training(), torch.no_grad():
            parameters = {k: torch.from_numpy(v) for k, v in self.setter.parameters.items()}
            flow = Flow(parameters, self.space.unit_dim)
            latent, asked = self._noise(SET_TOGETHER, rng)
            raw, _ = flow.forward(latent, asked)
            made = torch.cat([raw.sigmoid(), asked], dim=1)
        return made.numpy().astype(np.float64)

    def _noise(self, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw latents ``(n, unit_dim)`` and feasibilities ``(n, 1)``."""
        import torch

        latent = rng.standard_normal((n, self.space.unit_dim)).astype(np.float32)
        asked = rng.uniform(MARGIN, 1.0 - MARGIN, (n, 1)).astype(np.float32)
        return torch.from_numpy(latent), torch.from_numpy(asked)

    # Learning ------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure)
        for task, value in zip(batch.tasks, values, strict=True):
            slot = self._count % self.buffer_size
            self._tasks[slot], self._values[slot] = task, value
            self._count += 1
            if self._count % self.update_size == 0 and self.space.unit_dim:
                self._fit()

    def _fit(self) -> None:
        known = min(self._count, self.buffer_size)
        with training():
            setter = Learner(self.setter, "adam", self.lr)
            judge = Learner(self.judge, "adam", self.lr)
            losses = self.losses
            for _ in range(self.steps):
                rows = self.rng.permutation(known)[:BATCH]
                losses = self._step(setter, judge, self._tasks[rows], self._values[rows])
            if not (setter.finite() and judge.finite()):
                self.failed_fits += 1
                return
            setter.give_back()
            judge.give_back()
        self.fits += 1
        self.losses = losses
        self._set = self._set[:0]  # set by the network of before

    def _step(
        self, setter: Learner, judge: Learner, tasks: FloatArray, values: FloatArray
    ) -> FloatArray:
        """Make a step of the judge and one of the setter; return their losses."""
        import torch

        functional = torch.nn.functional
        solved = torch.from_numpy(values.astype(np.float32))

        def judged(points: Tensor) -> Tensor:
            logit: Tensor = perceptron(judge.tensors, 2.0 * points - 1.0, torch.relu)[:, 0]
            return logit

        said = judged(torch.from_numpy(tasks.astype(np.float32)))
        of_judge = functional.binary_cross_entropy_with_logits(said, solved)
        judge.step(of_judge)

        flow = Flow(setter.tensors, self.space.unit_dim)
        latent, asked = self._noise(BATCH, self.rng)
        raw, stretch = flow.forward(latent, asked)
        feasibility = (judged(raw.sigmoid()) - asked[:, 0].logit()).square().mean()
        coverage = log_density(latent, raw, stretch).mean()
        validity = torch.zeros(())
        # A value between 0 and 1 counts as so much of a success.
        total = solved.sum()
        if total > 0.0:
            shift = self.noise * (self.rng.random(tasks.shape) - 0.5)
            places = np.clip(tasks + shift, MARGIN, 1.0 - MARGIN).astype(np.float32)
            raw = torch.from_numpy(places).logit()
            latent, stretch = flow.inverse(raw, self._noise(len(tasks), self.rng)[1])
            validity = -(log_density(latent, raw, stretch) * solved).sum() / total
        setter.step(validity + feasibility + coverage)
        return np.array([float(x.detach()) for x in (of_judge, validity, feasibility, coverage)])

    # Keeping -------------------------------------------------------------------------------------

    def _state(self) -> State:
        known = min(self._count, self.buffer_size)
        return {
            "setter": self.setter.state(),
            "judge": self.judge.state(),
            "fits": [self.fits, self.failed_fits],
            "losses": self.losses.copy(),
            "tasks": self._tasks[:known].copy(),
            "values": self._values[:known].copy(),
            "count": self._count,
            "set": self._set.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.setter.load(state["setter"])
        self.judge.load(state["judge"])
        self.fits, self.failed_fits = (int(n) for n in state["fits"])
        self.losses = np.array(state["losses"])
        known = len(state["tasks"])
        self._tasks[:known], self._values[:known] = state["tasks"], state["values"]
        self._count = int(state["count"])
        self._set = np.array(state["set"])

    def _why(self, row: int, task: Any) -> Reason:
        if not self.space.unit_dim:
            return Reason("the only task", f"proposal {self._number(row):,}")
        logits = perceptron(
            self.judge.parameters, 2.0 * task[None] - 1.0, lambda x: np.maximum(x, 0.0)
        )
        judged = 0.5 + 0.5 * np.tanh(0.5 * float(logits[0, 0]))
        return Reason(
            "the setter",
            f"it was asked for a task of feasibility {self._origins[row]:.3g}, and after "
            f"{self.fits:,} trainings the judge expects {judged:.3g} of this one",
            explores=False,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the tasks that are set next (natural units), with what was asked and is expected.

        ``asked`` is the feasibility each was set for, ``judged`` what the judge expects of it.
        """
        shown: dict[str, Any] = {"fits": self.fits, "failed_fits": self.failed_fits}
        for name, loss in zip(
            ("judge", "validity", "feasibility", "coverage"), self.losses.tolist(), strict=True
        ):
            shown[f"{name}_loss"] = loss
        if len(self._set):
            tasks = self._set[:SET_TOGETHER, :-1]
            logits = perceptron(
                self.judge.parameters, 2.0 * tasks - 1.0, lambda x: np.maximum(x, 0.0)
            )
            shown["tasks"] = self.space.from_unit(tasks)
            shown["asked"] = self._set[:SET_TOGETHER, -1].copy()
            shown["judged"] = 0.5 + 0.5 * np.tanh(0.5 * logits[:, 0])
        return shown


def _masks(dim: int) -> list[NDArray[np.bool_]]:
    """Return what each coupling keeps: the left half, the right half, every other; three times.

    Couplings that would change nothing, as there are in one dimension, are left out.
    """
    place = np.arange(dim)
    left = place < (dim + 1) // 2
    return [keep for keep in (left, ~left, place % 2 == 0) if not keep.all()] * BLOCKS


def _setter_parameters(
    dim: int, hidden: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Return a network for each coupling: a layer, two highway layers, and one to scale and shift.

    The last one starts small, so that the setter starts near the logistic of its noise.
    """
    parameters: dict[str, NDArray[np.float32]] = {}
    for i in range(len(_masks(dim))):
        parameters |= dense((dim + 1, hidden, hidden, hidden, 2 * dim), rng, f"{i}.")
        parameters |= dense((hidden, hidden, hidden), rng, f"{i}.gate.")
        for name in ("w3", "b3"):
            parameters[f"{i}.{name}"] *= np.float32(0.1)
    return parameters


class Flow:
    """A conditional real-NVP: an invertible map of the line's product, given a feasibility.

    Args:
        parameters: Of :func:`_setter_parameters`, as tensors.
        dim: Dimensions.
    """

    def __init__(self, parameters: Mapping[str, Tensor], dim: int) -> None:
        import torch

        self.parameters = parameters
        self.masks = [torch.from_numpy(keep.astype(np.float32)) for keep in _masks(dim)]

    def forward(self, latent: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image ``(n, dim)`` and the logarithm of the map's stretch ``(n,)``."""
        stretch = latent.new_zeros(len(latent))
        for i, keep in enumerate(self.masks):
            scale, shift = self._coupling(i, latent * keep, asked)
            latent = keep * latent + (1.0 - keep) * (latent * scale + shift)
            stretch = stretch + ((1.0 - keep) * scale.log()).sum(dim=1)
        return latent, stretch

    def inverse(self, image: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent of an image, and the logarithm of the stretch from there to it."""
        stretch = image.new_zeros(len(image))
        for i, keep in reversed(list(enumerate(self.masks))):
            scale, shift = self._coupling(i, image * keep, asked)
            image = keep * image + (1.0 - keep) * ((image - shift) / scale)
            stretch = stretch + ((1.0 - keep) * scale.log()).sum(dim=1)
        return image, stretch

    def _coupling(self, i: int, kept: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Return scale and shift, each ``(n, dim)``, from what is kept and what is asked for."""
        import torch

        def layer(name: str, x: Tensor) -> Tensor:
            w, b = name[:-1] + "w" + name[-1], name[:-1] + "b" + name[-1]
            return x @ self.parameters[f"{i}.{w}"] + self.parameters[f"{i}.{b}"]

        x = layer("0", torch.cat([kept, asked], dim=1)).relu()
        for depth in (1, 2):
            gate = layer(f"gate.{depth - 1}", x).sigmoid()
            x = gate * layer(str(depth), x).relu() + (1.0 - gate) * x
        raw, shift = layer("3", x).chunk(2, dim=1)
        return torch.nn.functional.softplus(raw + SCALE_SHIFT) + LEAST_SCALE, shift


def log_density(latent: Tensor, raw: Tensor, stretch: Tensor) -> Tensor:
    """Return the log density in the cube of the tasks ``sigmoid(raw)``, ``(n,)``."""
    from torch.nn.functional import logsigmoid

    normal = -0.5 * (latent.square() + math.log(2.0 * math.pi)).sum(dim=1)
    squash = (logsigmoid(raw) + logsigmoid(-raw)).sum(dim=1)
    return normal - stretch - squash
