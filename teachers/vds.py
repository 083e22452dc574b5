"""Value disagreement sampling: propose tasks on whose value an ensemble disagrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._networks import Learner, Network, dense, perceptron, training
from currgym.teaching import Batch, Proposals, Reason, State, Teacher, register

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = NDArray[np.float64]
Weighting = Literal["identity", "square", "exp"]

LAYERS = (128, 128, 128)
SNAPSHOT_BYTES = 40_000


@register(
    "vds",
    presets={
        # CURROT's settings of networks and epochs. It fits every few thousand steps of the
        # environment, some 50 episodes; here so much work is done more seldom.
        "pointmass": {"members": 5, "epochs": 3, "batches": 20, "lr": 1e-3},
        "maze": {"members": 5, "epochs": 10, "batches": 80, "lr": 5e-4, "fit_period": 500},
    },
)
class VDS(Teacher):
    """Propose tasks in proportion to how much an ensemble of value networks disagrees on them.

    Every ``fit_period`` attempts each network of the ensemble learns, from mini-batches of its own,
    what the latest ``buffer_size`` attempts returned. Then ``candidates`` uniform tasks are drawn,
    and proposed with a probability proportional to the standard deviation of their values over the
    ensemble.

    Source: Zhang, Abbeel, Pinto, "Automatic Curriculum Learning through Value Disagreement",
    NeurIPS 2020, https://arxiv.org/abs/2006.09641 (the proposal from 1,000 candidates, the standard
    deviation over three networks, its weightings); presets from CURROT's code.

    Differences: the paper's networks are Q-functions, which learn by temporal differences from the
    student's transitions and are asked for the value of a task's first state under its policy. A
    teacher sees no transitions. Its networks learn the return of an attempt from the task alone: a
    Monte Carlo estimate of the same value, with the first state averaged out. So their disagreement
    also holds what an attempt's luck adds, and it knows only what attempts have shown. Candidates
    are drawn once a fit, and the proposals until the next one come from them. Before the first fit
    tasks are uniform, and so they are while the ensemble agrees on all.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        members: Networks in the ensemble, at least 2. The paper's.
        candidates: Uniform tasks to choose from, at least 1. The paper's.
        fit_period: Attempts between fits, at least 1.
        epochs: Passes of each fit, at least 1.
        batches: Mini-batches of each pass, at least 1.
        buffer_size: Latest attempts that the ensemble learns from, at least 1.
        probes: Uniform tasks before each fit that it wants attempted without learning, at least 0;
            they show values where the student does not train.
        weighting: What a task's probability is proportional to: the standard deviation itself
            (``"identity"``, the paper's choice), its ``"square"``, or its ``"exp"``.
        lr: Learning rate of Adam; above 0.
        measure: ``"return"`` in [0, 1], or ``"success"``.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("vds", space, seed=0, return_range=(0, 9), fit_period=50)
    >>> tasks = teacher.sample(50)
    >>> teacher.update(Outcomes(tasks, tasks.sum(axis=1)))
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
        members: int = 3,
        candidates: int = 1000,
        fit_period: int = 100,
        epochs: int = 3,
        batches: int = 20,
        buffer_size: int = 1000,
        probes: int = 0,
        weighting: Weighting = "identity",
        lr: float = 1e-3,
        measure: Measure = "return",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("members", members, 2), ("candidates", candidates, 1), ("fit_period", fit_period, 1),
            ("epochs", epochs, 1), ("batches", batches, 1), ("buffer_size", buffer_size, 1),
            ("probes", probes, 0),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if weighting not in get_args(Weighting):
            raise ValueError(f"weighting must be one of {get_args(Weighting)}, got {weighting!r}")
        if not lr > 0.0:
            raise ValueError(f"lr must be above 0, got {lr}")
        check_measure(measure)
        self.members = members
        self.candidates = candidates
        self.fit_period = fit_period
        self.epochs, self.batches = epochs, batches
        self.buffer_size = buffer_size
        self.probes = probes
        self.weighting: Weighting = weighting
        self.lr = lr
        self.measure: Measure = measure

        layers = (space.unit_dim, *LAYERS, 1)
        single = [dense(layers, self.rng) for _ in range(members)]
        self.ensemble = Network({name: _stacked(single, name) for name in single[0]})
        self.fits = self.failed_fits = 0
        self.loss = 0.0
        """Mean squared error of the latest mini-batches."""
        self._tasks, self._values = np.zeros((buffer_size, space.unit_dim)), np.zeros(buffer_size)
        self._stored = self._count = self._asked = 0
        self._choice = np.zeros((0, space.unit_dim))
        self._disagreement = np.zeros(0)
        self._edges = np.zeros(0)

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are its measure, ``probe`` where it asks for any."""
        return needs_of(self.measure) | (frozenset({"probe"}) if self.probes else frozenset())

    # Proposing -----------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        if not len(self._edges):
            return rng.random((n, self.space.unit_dim))
        chosen = np.searchsorted(self._edges, rng.random(n) * self._edges[-1], side="right")
        self._origins = np.minimum(chosen, len(self._choice) - 1)
        tasks: FloatArray = self._choice[self._origins]
        return tasks

    def _requests(self) -> Proposals | None:
        """Ask for this period's probes, once."""
        period = self._count // self.fit_period + 1
        if not self.probes or self._asked >= period:
            return None
        self._asked = period
        tasks = self.rng.random((self.probes, self.space.unit_dim))
        return Proposals(self._to_tasks(tasks))

    # Learning ------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure)
        probe = np.zeros(len(batch), np.bool_) if batch.probe is None else batch.probe
        for task, value, aside in zip(batch.tasks, values, probe.tolist(), strict=True):
            slot = self._stored % self.buffer_size
            self._tasks[slot], self._values[slot] = task, value
            self._stored += 1
            if aside:
                continue
            self._count += 1
            if self._count % self.fit_period == 0:
                self._fit()

    def _fit(self) -> None:
        """Fit the ensemble to the latest attempts, and weigh new candidates by its disagreement."""
        import torch

        known = min(self._stored, self.buffer_size)
        shape = (self.epochs * self.batches, self.members, known // self.batches + 1)
        places = torch.from_numpy((2.0 * self._tasks[:known] - 1.0).astype(np.float32))
        values = torch.from_numpy(self._values[:known].astype(np.float32))[:, None]
        with training():
            learner = Learner(self.ensemble, "adam", self.lr)
            loss: Tensor = torch.zeros(())
            for rows in torch.from_numpy(self.rng.integers(known, size=shape)):
                said = perceptron(learner.tensors, places[rows], torch.tanh)
                loss = (said - values[rows]).square().mean(dim=(1, 2)).sum()
                learner.step(loss)
            if not learner.finite():
                self.failed_fits += 1
                return
            learner.give_back()
        self.fits += 1
        self.loss = float(loss.detach()) / self.members
        choice = self.rng.random((self.candidates, self.space.unit_dim))
        self._adopt(choice, self.values(choice).std(axis=0))

    def values(self, tasks: FloatArray) -> FloatArray:
        """Return what each network expects of tasks in the cube, ``(members, n)``."""
        inputs = (2.0 * tasks - 1.0).astype(np.float32)
        said = perceptron(self.ensemble.parameters, inputs, np.tanh)[..., 0]
        return np.asarray(said, dtype=np.float64)

    def _adopt(self, choice: FloatArray, disagreement: FloatArray) -> None:
        """Propose these candidates from now on."""
        self._choice, self._disagreement = choice, disagreement
        weigh = {"identity": disagreement, "square": disagreement**2, "exp": np.exp(disagreement)}
        edges = weigh[self.weighting].cumsum()
        self._edges = edges if len(edges) and edges[-1] > 0.0 else np.zeros(0)

    # Keeping -------------------------------------------------------------------------------------

    def _state(self) -> State:
        known = min(self._stored, self.buffer_size)
        return {
            "ensemble": self.ensemble.state(),
            "fits": [self.fits, self.failed_fits],
            "loss": self.loss,
            "tasks": self._tasks[:known].copy(),
            "values": self._values[:known].copy(),
            "counts": [self._stored, self._count, self._asked],
            "choice": self._choice.copy(),
            "disagreement": self._disagreement.copy(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.ensemble.load(state["ensemble"])
        self.fits, self.failed_fits = (int(n) for n in state["fits"])
        self.loss = float(state["loss"])
        known = len(state["tasks"])
        self._tasks[:known], self._values[:known] = state["tasks"], state["values"]
        self._stored, self._count, self._asked = (int(n) for n in state["counts"])
        self._adopt(np.array(state["choice"]), np.array(state["disagreement"]))

    def _why(self, row: int, task: Any) -> Reason:
        if not len(self._edges):
            told = f"training begins at attempt {self.fit_period:,}, {self._count:,} are in"
            return Reason("the whole space", told, 1.0, explores=True)
        at = int(self._origins[row])
        before = self._edges[at - 1] if at else 0.0
        return Reason(
            f"candidate {at + 1:,} of {len(self._choice):,}",
            f"the {self.members:,} networks of fit {self.fits:,} disagree on it by "
            f"{self._disagreement[at]:.3g}, and by {self._disagreement.max():.3g} at most",
            float((self._edges[at] - before) / self._edges[-1]), explores=False,
        )  # fmt: skip

    def snapshot(self) -> dict[str, Any]:
        """Return the candidates the ensemble disagrees on most (natural units), and how much."""
        shown: dict[str, Any] = {
            "fits": self.fits, "failed_fits": self.failed_fits, "loss": self.loss
        }  # fmt: skip
        if len(self._choice):
            most = np.argsort(-self._disagreement, kind="stable")
            tasks = self.space.from_unit(self._choice[most])
            rows = max(1, min(len(tasks), SNAPSHOT_BYTES * len(tasks) // tasks.nbytes, 200))
            shown["tasks"] = tasks[:rows]
            shown["disagreement"] = self._disagreement[most[:rows]]
            shown["agreement"] = float(self._disagreement.min())
        return shown


def _stacked(members: list[dict[str, NDArray[np.float32]]], name: str) -> NDArray[np.float32]:
    """Return one parameter of all members, weights ``(members, in, out)``, biases with 1 row."""
    arrays = np.stack([member[name] for member in members])
    return arrays if arrays.ndim == 3 else arrays[:, None]
