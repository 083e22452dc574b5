"""PAIRED's designer: builds the tasks on which one of two students beats the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teaching import Batch, Reason, State, Teacher, register

__all__ = ["Paired"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_PENDING = 2048
NAMES = ("chosen", "step", "hidden", "out", "bias")
CLIP = 0.2


@register("paired")
class Paired(Teacher):
    """Build tasks choice by choice with a policy that is trained on the regret of a pair.

    A task is a row of choices: where agent, goal and each block go (where the space says how levels
    are built), or a bin of each coordinate of the unit cube. A small network gives the chances of
    the next choice from those made so far, and learns by proximal policy optimisation; its reward
    is ``scores["regret"]``, the best return of the antagonist less the mean of the protagonist's,
    which :class:`currgym.students.Pair` reports.

    Source: Dennis, Jaques, Vinitsky, Bayen, Russell, Critch, Levine, "Emergent Complexity and
    Zero-shot Transfer via Unsupervised Environment Design", NeurIPS 2020,
    https://arxiv.org/abs/2012.02096.

    Differences: one hidden layer over the choices made so far (a set, in any order) and the number
    of the step, in place of a convolutional and recurrent network; the regret of the whole task is
    every choice's reward, so there is no critic but the mean of the batch; coordinates of a box are
    chosen by bins, uniformly within each.

    Args:
        space: A space of levels that are built by choices, or any with a unit cube.
        seed: Of the private random generator.
        return_range: Unused: regret is taken as it is.
        bins: Bins of each coordinate, at least 2 (spaces with a cube).
        hidden: Units of the hidden layer, at least 1.
        learning_rate: Of Adam, above 0.
        batch: Outcomes to an update, at least 2.
        epochs: Gradient steps in each, at least 1.
        entropy: Weight of the policy's entropy, at least 0.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("paired", BoxTasks([0], [1]), seed=0, learning_rate=0.05)
    >>> for _ in range(40):
    ...     tasks = teacher.sample(32)
    ...     teacher.update(Outcomes(tasks, [0] * 32, scores={"regret": tasks[:, 0] > 0.7}))
    >>> bool((teacher.sample(100) > 0.7).mean() > 0.6)
    True
    """

    spaces = frozenset({"box", "levels"})
    needs = frozenset({"regret"})

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int = 10,
        hidden: int = 32,
        learning_rate: float = 1e-3,
        batch: int = 32,
        epochs: int = 4,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("bins", bins, 2), ("hidden", hidden, 1), ("batch", batch, 2), ("epochs", epochs, 1),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not learning_rate > 0.0:
            raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
        if not entropy >= 0.0:
            raise ValueError(f"entropy must be at least 0, got {entropy}")
        built = space.choices if space.kind == "levels" else (space.unit_dim, bins)
        if built is None:
            raise ValueError(f"{space!r} is not built by choices, which teacher 'paired' needs")
        self.bins = bins
        self.hidden = hidden
        self.learning_rate = learning_rate
        self.batch = batch
        self.epochs = epochs
        self.entropy = entropy
        self.updates = self.failed_fits = 0
        self.mean_regret = 0.0
        """Of the latest batch."""
        self._steps, self._options = built
        self._weights = self._begin()
        # Of Adam: both moments of each array.
        self._moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self._weights]
        # Task -> the choices that built it and how likely they were, oldest first.
        self._pending: dict[bytes, tuple[IntArray, FloatArray]] = {}
        self._rows: list[tuple[IntArray, FloatArray, float]] = []

    def _begin(self) -> list[FloatArray]:
        """Return the first weights: every choice equally likely, whatever was chosen before."""
        inputs, hidden = self._options + self._steps, self.hidden
        first = self.rng.normal(0.0, 1.0 / np.sqrt(2.0), (inputs, hidden))
        return [
            first[: self._options], first[self._options :], np.zeros(hidden),
            np.zeros((hidden, self._options)), np.zeros(self._options),
        ]  # fmt: skip

    # Building ------------------------------------------------------------------------------------

    def _build(self, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        """Return a row of choices and the logarithms of their chances."""
        chosen, step, hidden, out, bias = self._weights
        row, logs = np.empty(self._steps, dtype=np.int64), np.empty(self._steps)
        so_far = hidden.copy()
        for t in range(self._steps):
            logits = np.tanh(so_far + step[t]) @ out + bias
            logits -= logits.max()
            # The greatest of logits with Gumbel noise is a draw by their chances.
            choice = row[t] = (logits + rng.gumbel(size=self._options)).argmax()
            logs[t] = logits[choice] - np.log(np.exp(logits).sum())
            so_far += chosen[choice]
        return row, logs

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        # One by one: n tasks are the same as n times one.
        self._origins = []
        tasks = [self._one(rng) for _ in range(n)]
        while len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]
        return np.array(tasks)

    def _one(self, rng: np.random.Generator) -> NDArray[Any]:
        """Build one task and remember how."""
        row, logs = self._build(rng)
        if self.space.kind == "levels":
            task = seen = np.asarray(self.space.from_choices(row[None])[0])
        else:
            task = (row + rng.random(self._steps)) / self.bins
            # As its outcome will show it: whole numbers come back as the middle of their slice.
            seen = self.space.to_unit(self.space.from_unit(task[None]))[0]
        key = seen.tobytes()
        self._origins.append(float(np.sum(logs)))
        self._pending.pop(key, None)
        self._pending[key] = row, logs
        return task

    # Learning ------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        for task, regret in zip(batch.tasks, batch.scores["regret"].tolist(), strict=True):
            made = self._pending.get(task.tobytes())
            if made is None:  # another's task, or too long ago
                continue
            self._rows.append((*made, regret))
            if len(self._rows) == self.batch:
                self._learn()
                self._rows = []

    def _learn(self) -> None:
        """Take some clipped policy-gradient steps on the batch."""
        import torch

        rows = torch.tensor(np.array([row for row, _, _ in self._rows]))
        before = torch.tensor(np.array([log for _, log, _ in self._rows]))
        regret = np.array([value for _, _, value in self._rows])
        self.mean_regret = float(regret.mean())
        spread = float(regret.std())
        gain = torch.tensor((regret - regret.mean()) / spread if spread > 0.0 else 0.0 * regret)
        weights = [torch.tensor(w, requires_grad=True) for w in self._weights]
        moments_before = [(mean.copy(), square.copy()) for mean, square in self._moments]
        chosen, step, hidden, out, bias = weights
        for epoch in range(self.epochs):
            seen = chosen[rows].cumsum(dim=1) - chosen[rows]  # before each choice
            logs = torch.log_softmax(torch.tanh(seen + step + hidden) @ out + bias, dim=2)
            own = logs.gather(2, rows[:, :, None])[:, :, 0]
            ratio = torch.exp(own - before)
            clipped = torch.clamp(ratio, 1.0 - CLIP, 1.0 + CLIP)
            aim = torch.minimum(ratio * gain[:, None], clipped * gain[:, None]).mean()
            spread_out = -(logs.exp() * logs).sum(dim=2).mean()
            gradients = torch.autograd.grad(-(aim + self.entropy * spread_out), weights)
            number = self.updates * self.epochs + epoch + 1
            with torch.no_grad():
                for weight, gradient, moments in zip(
                    weights, gradients, self._moments, strict=True
                ):
                    weight -= torch.from_numpy(self._adam(gradient.numpy(), moments, number))
        learned = [weight.detach().numpy().copy() for weight in weights]
        if not all(np.isfinite(weight).all() for weight in learned):
            self._moments = moments_before
            self.failed_fits += 1
            return
        self._weights = learned
        self.updates += 1

    def _adam(
        self, gradient: FloatArray, moments: tuple[FloatArray, FloatArray], number: int
    ) -> FloatArray:
        """Return Adam's step, with its usual decays, and renew its moments."""
        mean, square = moments
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        scale = np.sqrt(square / (1.0 - 0.999**number)) + 1e-8
        return self.learning_rate * mean / (1.0 - 0.9**number) / scale

    # State ---------------------------------------------------------------------------------------

    def _state(self) -> State:
        made = list(self._pending.values())
        return {
            "weights": {k: w.copy() for k, w in zip(NAMES, self._weights, strict=True)},
            "means": {k: m.copy() for k, (m, _) in zip(NAMES, self._moments, strict=True)},
            "squares": {k: s.copy() for k, (_, s) in zip(NAMES, self._moments, strict=True)},
            "updates": self.updates,
            "failed_fits": self.failed_fits,
            "mean_regret": self.mean_regret,
            "keys": np.array([np.frombuffer(key, np.uint8) for key in self._pending]),
            "pending": self._stacked([row for row, _ in made], np.int64),
            "pending_logs": self._stacked([log for _, log in made], np.float64),
            "batch": self._stacked([row for row, _, _ in self._rows], np.int64),
            "batch_logs": self._stacked([log for _, log, _ in self._rows], np.float64),
            "batch_regrets": np.array([value for _, _, value in self._rows]),
        }

    def _stacked(self, rows: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
        return np.array(rows, dtype=kind).reshape(len(rows), self._steps)

    def _load(self, state: Mapping[str, Any]) -> None:
        self._weights = [np.array(state["weights"][name]) for name in NAMES]
        self._moments = [
            (np.array(state["means"][name]), np.array(state["squares"][name])) for name in NAMES
        ]
        self.updates, self.failed_fits = int(state["updates"]), int(state["failed_fits"])
        self.mean_regret = float(state["mean_regret"])
        made = zip(np.array(state["pending"]), np.array(state["pending_logs"]), strict=True)
        keys = [np.asarray(key, np.uint8).tobytes() for key in state["keys"]]
        self._pending = dict(zip(keys, made, strict=True))
        regrets = np.asarray(state["batch_regrets"]).tolist()
        self._rows = list(
            zip(np.array(state["batch"]), np.array(state["batch_logs"]), regrets, strict=True)
        )

    def _why(self, row: int, task: Any) -> Reason:
        return Reason(
            "the designer's policy",
            f"it built this task by {self._steps:,} choices with a probability of "
            f"{np.exp(self._origins[row]):.3g}, after {self.updates:,} updates (mean regret "
            f"{self.mean_regret:.3g})",
            explores=self.updates == 0,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return updates, the latest batch's mean regret, and the chances of the first choice."""
        _, step, hidden, out, bias = self._weights
        chances = np.empty(0)
        if self._steps:
            logits = np.tanh(hidden + step[0]) @ out + bias
            chances = np.exp(logits - logits.max())
            chances /= chances.sum()
        return {
            "updates": self.updates, "failed_fits": self.failed_fits, "regret": self.mean_regret,
            "first_choice": chances,
        }  # fmt: skip
