"""Goal GAN: a generative network proposes tasks that are neither too easy nor too hard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._given import draw, given_points
from currgym.teachers._measure import Measure, check_measure, measured, needs_of
from currgym.teachers._networks import Learner, Network, dense, perceptron, training
from currgym.teaching import Batch, Reason, State, Teacher, register

FloatArray = NDArray[np.float64]
Replay = Literal["intermediate", "mastered"]

BATCH = 64
GENERATOR_LAYERS = (256, 256)
DISCRIMINATOR_LAYERS = (128, 128)
LEAK = 0.1
INITIAL_DRAWS = 1000
# Tasks are recognised on a lattice this fine: fine enough not to matter, coarse enough for a task
# that went through float32 on its way.
FIRST, GENERATED = -2, -1
LATTICE = 2.0**20
MOST_PENDING = 5000
SNAPSHOT_BYTES = 60_000

_ONLINE = {
    "label_low": 0.25, "label_high": 0.75, "generator_target": 1.0, "replay": "mastered",
    "label_replayed": False, "iterations": 250, "pretraining": 500, "noise": 0.1,
    "success_distance": 0.01,
}  # fmt: skip


@register(
    "goal-gan",
    presets={
        "teachmyagent": {**_ONLINE, "n_rollouts": 2, "update_size": 100, "old_ratio": 0.1},
        "pointmass": {**_ONLINE, "n_rollouts": 2, "update_size": 200, "old_ratio": 0.2},
        "maze": {**_ONLINE, "n_rollouts": 4, "update_size": 200, "old_ratio": 0.2},
    },
)
class GoalGAN(Teacher):
    """Generate tasks of intermediate difficulty with a generative adversarial network.

    A task is attempted ``n_rollouts`` times; it is of intermediate difficulty when its mean success
    lies in [``label_low``, ``label_high``]. Every ``update_size`` labelled tasks a least-squares
    GAN learns to tell these from the others and from generated ones, and to generate more of them.
    A share of the tasks is drawn from those that were good before, against forgetting.

    Source: Florensa, Held, Geng, Abbeel, "Automatic Goal Generation for Reinforcement Learning
    Agents", ICML 2018, https://arxiv.org/abs/1705.06366 (goals of intermediate difficulty, the GAN
    with negative examples and its targets -1, 1 and 0, the buffer of old goals); presets from the
    online forms in TeachMyAgent (https://arxiv.org/abs/2103.09815) and CURROT's code.

    Differences: tasks are labelled by the attempts the student learns from, not by an evaluation
    apart, and their attempts are proposed one after the other. Before the first training tasks come
    from ``initial`` itself rather than from a network trained to resemble it; that training happens
    together with the first one. From the online forms: the network's range is the space's, not
    twice as wide; tasks that wait for their results are recognised by value and bounded; noise is
    added everywhere and every draw is clipped; no worker processes.

    Args:
        space: What tasks there are.
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1 with ``measure="return"``.
        n_rollouts: Attempts by which a task is labelled; at least 1.
        label_low: Mean success from which a task is not too hard, in [0, 1]. The paper's.
        label_high: Mean success up to which it is not too easy, at least ``label_low``. The
            paper's.
        update_size: Labelled tasks between trainings; at least 1. Without an intermediate one among
            them there is none.
        iterations: Steps of each training; at least 1.
        pretraining: Steps on ``initial`` before the first training; at least 0.
        old_ratio: Share of tasks from the buffer of old ones, in [0, 1). The paper's third.
        noise: Standard deviation of noise on proposed tasks, as a share of the range; at least 0.
        replay: Which tasks are kept: ``"intermediate"`` ones (the paper's) or those ``"mastered"``,
            above ``label_high`` (the online forms').
        label_replayed: Whether old tasks are labelled anew (the paper) or attempted once (online).
        success_distance: A task is kept if none within this share of the cube's diagonal is; at
            least 0.
        buffer_size: Tasks kept at most, the oldest makes way; at least 1.
        generator_target: What the generator wants the discriminator to say; the paper's 0, the
            online forms' 1.
        latent_dim: Numbers the generator makes a task of; at least 1.
        lr: Learning rate of both RMSprops; above 0.
        initial: Tasks to begin with, as the space writes them; None for uniform over the space.
        measure: ``"success"`` or ``"return"`` in [0, 1].

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0, 0], [3, 6], names=["stump_height", "obstacle_spacing"])
    >>> teacher = make_teacher("goal-gan", space, seed=0, n_rollouts=2, update_size=5, iterations=1)
    >>> for step in range(10):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, [1.0], successes=[step % 2]))
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
        n_rollouts: int = 4,
        label_low: float = 0.1,
        label_high: float = 0.9,
        update_size: int = 100,
        iterations: int = 200,
        pretraining: int = 200,
        old_ratio: float = 1.0 / 3.0,
        noise: float = 0.05,
        replay: Replay = "intermediate",
        label_replayed: bool = True,
        success_distance: float = 0.01,
        buffer_size: int = 5000,
        generator_target: float = 0.0,
        latent_dim: int = 4,
        lr: float = 1e-3,
        initial: ArrayLike | None = None,
        measure: Measure = "success",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range)
        for name, value, least in (
            ("n_rollouts", n_rollouts, 1), ("update_size", update_size, 1),
            ("iterations", iterations, 1), ("pretraining", pretraining, 0), ("noise", noise, 0),
            ("success_distance", success_distance, 0), ("buffer_size", buffer_size, 1),
            ("latent_dim", latent_dim, 1),
        ):  # fmt: skip
            if not value >= least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if not 0.0 <= label_low <= label_high <= 1.0:
            raise ValueError(
                "label_low and label_high must lie in [0, 1], in this order, got "
                f"{label_low} and {label_high}"
            )
        if not 0.0 <= old_ratio < 1.0:
            raise ValueError(f"old_ratio must lie in [0, 1), got {old_ratio}")
        if replay not in get_args(Replay):
            raise ValueError(f"replay must be one of {get_args(Replay)}, got {replay!r}")
        if not lr > 0.0:
            raise ValueError(f"lr must be above 0, got {lr}")
        check_measure(measure)
        self.n_rollouts = n_rollouts
        self.label_low, self.label_high = label_low, label_high
        self.update_size = update_size
        self.iterations, self.pretraining = iterations, pretraining
        self.old_ratio = old_ratio
        self.noise = noise
        self.replay: Replay = replay
        self.label_replayed = label_replayed
        self.success_distance = success_distance
        self.buffer_size = buffer_size
        self.generator_target = generator_target
        self.latent_dim = latent_dim
        self.lr = lr
        self.measure: Measure = measure
        self.initial = initial
        self._initial = given_points(space, initial, "initial")

        dim = space.unit_dim
        self.generator = Network(dense((latent_dim, *GENERATOR_LAYERS, dim), self.rng))
        self.discriminator = Network(dense((dim, *DISCRIMINATOR_LAYERS, 1), self.rng))
        self.fits = self.failed_fits = self.skipped_fits = 0
        self.intermediate = 0.0
        """Share of intermediate tasks among the latest ``update_size`` labelled ones."""
        self._pending: dict[tuple[int, ...], list[float]] = {}
        self._goal = np.zeros(dim)
        self._left = 0
        self._source = FIRST
        """Of the task that is being proposed: its place among the kept ones, or below 0."""
        self._tasks, self._labels = np.zeros((update_size, dim)), np.zeros(update_size)
        self._labelled = 0
        self._kept = np.zeros((buffer_size, dim))
        self._count = 0

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """``successes`` where they are its measure."""
        return needs_of(self.measure)

    @property
    def privileges(self) -> frozenset[str]:  # type: ignore[override]
        """``initial`` where it was given."""
        return frozenset() if self.initial is None else frozenset({"initial"})

    # Proposing -----------------------------------------------------------------------------------

    def _sample(self, n: int, rng: np.random.Generator) -> FloatArray:
        tasks = np.empty((n, self.space.unit_dim))
        self._origins = []
        for i in range(n):
            if self._left == 0:
                self._choose(rng)
            tasks[i] = self._goal
            self._left -= 1
            self._origins.append((self._source, self._left))
        return tasks

    def _choose(self, rng: np.random.Generator) -> None:
        """Choose the next task: an old one, or a new one."""
        known = min(self._count, self.buffer_size)
        old = known > 0 and rng.random() < self.old_ratio
        if old:
            self._source = int(rng.integers(known))
            goal = self._kept[self._source]
        else:
            self._source = GENERATED if self.fits else FIRST
            goal = self._generate(rng)
        goal = np.clip(goal + self.noise * rng.standard_normal(len(goal)), 0.0, 1.0)
        self._goal = np.rint(goal * LATTICE) / LATTICE
        self._left = self.n_rollouts
        if old and not self.label_replayed:
            self._left = 1
            return
        # As the outcome will bring it back: a whole number is the centre of its slice then.
        seen = self.space.to_unit(self.space.from_unit(self._goal[None]))
        self._pending.setdefault(_keys(seen)[0], [0.0, 0.0])
        if len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]

    def _generate(self, rng: np.random.Generator) -> FloatArray:
        """Return what the generator makes of noise; before its first training an initial task."""
        if self.fits == 0:
            return draw(self._initial, 1, self.space.unit_dim, rng).ravel()
        latent = rng.standard_normal(self.latent_dim).astype(np.float32)
        raw = perceptron(self.generator.parameters, latent, lambda x: np.maximum(x, 0.0))
        return np.asarray(0.5 + 0.5 * np.tanh(raw), dtype=np.float64)

    # Learning ------------------------------------------------------------------------------------

    def _update(self, batch: Batch) -> None:
        values = measured(batch, self.measure).tolist()
        trials = [1] * len(values) if batch.trials is None else batch.trials.tolist()
        for key, task, value, n in zip(
            _keys(batch.tasks), batch.tasks, values, trials, strict=True
        ):
            waiting = self._pending.get(key)
            if waiting is None:
                continue
            waiting[0] += n
            waiting[1] += n * value
            if waiting[0] >= self.n_rollouts:
                del self._pending[key]
                self._label(task, waiting[1] / waiting[0])

    def _label(self, task: FloatArray, mean: float) -> None:
        intermediate = self.label_low <= mean <= self.label_high
        if intermediate if self.replay == "intermediate" else mean > self.label_high:
            self._keep(task)
        self._tasks[self._labelled] = task
        self._labels[self._labelled] = intermediate
        self._labelled += 1
        if self._labelled < self.update_size:
            return
        self._labelled = 0
        self.intermediate = float(self._labels.mean())
        if not self._labels.any() or not self.space.unit_dim:
            self.skipped_fits += 1
        elif self._fit():
            self.fits += 1
        else:
            self.failed_fits += 1

    def _keep(self, task: FloatArray) -> None:
        """Keep a task unless one near it is there."""
        known = self._kept[: self._count]
        limit = self.success_distance**2 * len(task)
        if len(known) and ((known - task) ** 2).sum(axis=1).min() <= limit:
            return
        self._kept[self._count % self.buffer_size] = task
        self._count += 1

    def _fit(self) -> bool:
        """Train both networks; False if that ended in no numbers, and nothing has changed."""
        with training():
            generator = Learner(self.generator, "rmsprop", self.lr)
            discriminator = Learner(self.discriminator, "rmsprop", self.lr)
            if self.fits == 0 and self.pretraining:
                begin = draw(self._initial, INITIAL_DRAWS, self.space.unit_dim, self.rng)
                ones = np.ones(INITIAL_DRAWS)
                self._play(generator, discriminator, begin, ones, self.pretraining)
            self._play(generator, discriminator, self._tasks, self._labels, self.iterations)
            if not (generator.finite() and discriminator.finite()):
                return False
            generator.give_back()
            discriminator.give_back()
        return True

    def _play(
        self,
        generator: Learner,
        discriminator: Learner,
        tasks: FloatArray,
        labels: FloatArray,
        iterations: int,
    ) -> None:
        """Let the two networks play against each other on labelled tasks."""
        import torch

        def judged(points: Any) -> Any:
            return perceptron(
                discriminator.tensors, points, lambda x: torch.nn.functional.leaky_relu(x, LEAK)
            )

        places = torch.from_numpy((2.0 * tasks - 1.0).astype(np.float32))
        wanted = torch.from_numpy((2.0 * labels - 1.0).astype(np.float32))[:, None]
        for _ in range(iterations):
            rows = torch.from_numpy(self.rng.integers(len(tasks), size=BATCH))
            latent = self.rng.standard_normal((BATCH, self.latent_dim)).astype(np.float32)
            made = perceptron(generator.tensors, torch.from_numpy(latent), torch.relu).tanh()
            real = (judged(places[rows]) - wanted[rows]).square().mean()
            discriminator.step(real + (judged(made.detach()) + 1.0).square().mean())
            generator.step((judged(made) - self.generator_target).square().mean())

    # Keeping -------------------------------------------------------------------------------------

    def _state(self) -> State:
        waiting, dim = len(self._pending), self.space.unit_dim
        return {
            "generator": self.generator.state(),
            "discriminator": self.discriminator.state(),
            "fits": [self.fits, self.failed_fits, self.skipped_fits],
            "intermediate": self.intermediate,
            "pending": np.array(list(self._pending), dtype=np.int64).reshape(waiting, dim),
            "results": np.array(list(self._pending.values())).reshape(waiting, 2),
            "goal": self._goal.copy(),
            "left": self._left,
            "source": self._source,
            "tasks": self._tasks[: self._labelled].copy(),
            "labels": self._labels[: self._labelled].copy(),
            "kept": self._kept[: self._count].copy(),
            "count": self._count,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self.generator.load(state["generator"])
        self.discriminator.load(state["discriminator"])
        self.fits, self.failed_fits, self.skipped_fits = (int(n) for n in state["fits"])
        self.intermediate = float(state["intermediate"])
        results = np.asarray(state["results"]).tolist()
        self._pending = dict(
            zip(map(tuple, np.asarray(state["pending"]).tolist()), results, strict=True)
        )
        self._goal, self._left = np.array(state["goal"]), int(state["left"])
        self._source = int(state["source"])
        self._labelled = len(state["tasks"])
        self._tasks[: self._labelled] = state["tasks"]
        self._labels[: self._labelled] = state["labels"]
        self._count = int(state["count"])
        self._kept[: len(state["kept"])] = state["kept"]

    def _why(self, row: int, task: Any) -> Reason:
        source, left = self._origins[row]
        known = min(self._count, self.buffer_size)
        old_ratio = self.old_ratio if known else 0.0
        if source >= 0:
            name, chance = f"kept task {source + 1:,} of {known:,}", old_ratio / max(known, 1)
        else:
            name = "the generator" if source == GENERATED else "the first tasks"
            chance = 1.0 - old_ratio
        turns = 1 if source >= 0 and not self.label_replayed else self.n_rollouts
        return Reason(
            name,
            f"attempt {turns - left:,} of {turns:,} on it, after {self.fits:,} trainings; "
            f"{100.0 * self.intermediate:.3g} % of the latest labelled tasks were of intermediate "
            "difficulty",
            # Drawn for the first of its attempts, in what was the state then.
            chance if turns - left == 1 else None,
            explores=source == FIRST,
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the kept tasks (the latest of them, natural units) and how the networks fare."""
        known = min(self._count, self.buffer_size)
        shown: dict[str, Any] = {
            "fits": self.fits,
            "failed_fits": self.failed_fits,
            "skipped_fits": self.skipped_fits,
            "intermediate": self.intermediate,
            "kept": known,
            "pending": len(self._pending),
        }
        if known:
            latest = np.arange(self._count - known, self._count) % self.buffer_size
            tasks = self.space.from_unit(self._kept[latest])
            shown["tasks"] = tasks[-max(1, SNAPSHOT_BYTES * len(tasks) // tasks.nbytes) :]
        return shown


def _keys(tasks: FloatArray) -> list[tuple[int, ...]]:
    """Return what tasks in the cube are recognised by."""
    return [tuple(row) for row in np.rint(tasks * LATTICE).astype(np.int64).tolist()]
