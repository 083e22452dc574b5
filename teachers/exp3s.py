"""Exp3.S over arms, rewarded by learning progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.teachers._arms import ArmTeacher
from currgym.teachers._rewards import Rescale, RewardScale
from currgym.teaching import Batch, State, register

__all__ = ["Exp3S"]

FloatArray = NDArray[np.float64]
Importance = Literal["policy", "weights"]
Share = Literal["others", "all"]

# A reward over a tiny chance must not decide the rest of the run by itself.
MAX_STEP = 20.0


@register(
    "exp3s",
    presets={
        "currot": {
            "eta": 0.025, "epsilon": 0.2, "rescale": "range", "importance": "weights",
            "share": "all", "per_step": False,
        },
    },
)  # fmt: skip
class Exp3S(ArmTeacher):
    """Choose arms by Exp3.S, an adversarial bandit with a share of weights, rewarded by progress.

    The log weights ``w`` give the policy ``pi_i = (1 - epsilon) softmax(w)_i + epsilon / N``. The
    ``t``-th reward ``r`` in [-1, 1] of arm ``a`` adds ``eta (r [i = a] + beta) / pi_i`` to each
    ``w_i``, after which a share ``1 / (t + 1)`` of every weight goes to the other arms, so that
    none is lost for good. Rewards are rescaled between the 20 % and 80 % quantiles of a reservoir.

    Source: Graves, Bellemare, Menick, Munos, Kavukcuoglu, "Automated Curriculum Learning for Neural
    Networks", ICML 2017, https://arxiv.org/abs/1704.03003; preset ``currot`` has the form and the
    constants of the code of CURROT (Klink et al. 2022): the running range in the place of
    quantiles, importance weights without the exploration share, the whole weight shared (its 50
    bins a side on two axes are ``bins=50``).

    Differences: the paper's signal, the loss of a sample before and after training on it, has to be
    measured by the student (``signal="prediction_gain"``, say); the default is what CURROT uses,
    the absolute difference between a return and the last one of its arm, both in [0, 1]. The first
    attempt of an arm has no last one, and so no reward (in CURROT's code 0, which is the worst).
    The importance weight is the policy's at the time of the outcome; probes renew the last return
    and give no reward. One step of a log weight is at most 20.

    Args:
        space: Box tasks (through a binning), or examples (or their groups).
        seed: Of the private random generator.
        return_range: Raw returns that count as 0 and 1; None uses running quantiles.
        bins: Bins a side, or one number for each live axis; None takes as many as give at most
            1,000 arms, 10 a side at most. Of examples: slices; None is groups or single ones.
        signal: ``"return"``; ``"loss"``, the decrease of ``scores["loss"]`` since the arm's last;
            or the name of a score that is progress itself.
        eta: Step of the log weights, above 0. As the paper is usually quoted (not checked).
        epsilon: Share of uniform choices, in (0, 1]. As the paper is usually quoted (not checked).
        beta: Bonus of every arm, at least 0. As the paper is usually quoted (not checked).
        per_step: Divide progress by the length of the attempt, as the paper does.
        rescale: ``"quantiles"`` (the paper's) or ``"range"``.
        reservoir: Rewards kept for the quantiles, at least 2.
        importance: ``"policy"`` divides by the chance of the choice (the paper's), ``"weights"`` by
            that without the exploration share.
        share: ``"others"`` shares weight among the other arms (the paper's), ``"all"`` among all.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> space = BoxTasks([0], [1])
    >>> teacher = make_teacher("exp3s", space, seed=0, return_range=(0, 1), bins=2, eta=0.05)
    >>> for step in range(200):
    ...     tasks = teacher.sample(1)
    ...     teacher.update(Outcomes(tasks, (tasks[:, 0] > 0.5) * (step % 7) / 7))
    >>> bool(teacher.chances[1] > 0.6)
    True
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        bins: int | Sequence[int] | None = None,
        signal: str = "return",
        eta: float = 1e-3,
        epsilon: float = 0.05,
        beta: float = 0.0,
        per_step: bool = True,
        rescale: Rescale = "quantiles",
        reservoir: int = 1000,
        importance: Importance = "policy",
        share: Share = "others",
    ) -> None:
        super().__init__(space, seed=seed, return_range=return_range, bins=bins)
        if not eta > 0.0:
            raise ValueError(f"eta must be above 0, got {eta}")
        if not 0.0 < epsilon <= 1.0:
            raise ValueError(f"epsilon must lie in (0, 1], got {epsilon}")
        if not beta >= 0.0:
            raise ValueError(f"beta must be at least 0, got {beta}")
        if reservoir < 2:
            raise ValueError(f"reservoir must be at least 2, got {reservoir}")
        for name, value, kind in (
            ("rescale", rescale, Rescale), ("importance", importance, Importance),
            ("share", share, Share),
        ):  # fmt: skip
            if value not in get_args(kind):
                raise ValueError(f"{name} must be one of {get_args(kind)}, got {value!r}")
        self.signal = signal
        self.eta = eta
        self.epsilon = epsilon
        self.beta = beta
        self.per_step = per_step
        self.rescale: Rescale = rescale
        self.reservoir = reservoir
        self.importance: Importance = importance
        self.share: Share = share
        self.rewards = RewardScale(rescale, reservoir)
        self._log_weights = np.zeros(self.arms.n)
        self._last = np.full(self.arms.n, np.nan)
        self._pulls = 0

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        """The score that progress is read from, unless it is the return."""
        return frozenset() if self.signal == "return" else frozenset({self.signal})

    def _softmax(self) -> FloatArray:
        weights = np.exp(self._log_weights - self._log_weights.max())
        return np.asarray(weights / weights.sum())

    def probability(self) -> FloatArray:
        """Return the policy."""
        return (1.0 - self.epsilon) * self._softmax() + self.epsilon / self.arms.n

    def _update(self, batch: Batch) -> None:
        arms = self.arms.of(batch.tasks).tolist()
        values = batch.raw_returns if self.signal == "return" else batch.scores[self.signal]
        for i, (arm, value) in enumerate(zip(arms, values.tolist(), strict=True)):
            progress = self._progress(arm, value)
            self._last[arm] = value
            if np.isnan(progress) or (batch.probe is not None and batch.probe[i]):
                continue
            if self.per_step:
                progress /= max(int(batch.lengths[i]), 1)
            self.rewards.add(progress, self.rng)
            self._reward(arm, self.rewards(progress))

    def _progress(self, arm: int, value: float) -> float:
        """Return the progress that an attempt shows; NaN where there is none to compare with."""
        if self.signal == "return":
            before, now = self.scale(np.array([self._last[arm], value])).tolist()
            return abs(float(now) - float(before))
        return float(self._last[arm]) - value if self.signal == "loss" else value

    def _reward(self, arm: int, reward: float) -> None:
        """Take a reward in [-1, 1] of an arm."""
        policy = self.chances
        divisor = policy if self.importance == "policy" else self._softmax()
        gains = self.eta * self.beta / divisor if self.beta else np.zeros(self.arms.n)
        gains[arm] += self.eta * reward / max(divisor[arm], 1e-12)
        moved = self._log_weights + np.clip(gains, -MAX_STEP, MAX_STEP)
        self._pulls += 1
        if self.arms.n > 1:
            moved = self._shared(moved, 1.0 / (self._pulls + 1))
        self._log_weights = moved - moved.max()
        self._forget_chances()

    def _shared(self, log_weights: FloatArray, alpha: float) -> FloatArray:
        """Give a share of every weight to the others."""
        n = self.arms.n
        if self.share == "all":  # what an arm gives to itself it keeps
            alpha *= (n - 1) / n
        weights = np.exp(log_weights - log_weights.max())
        others = np.maximum(weights.sum() - weights, 0.0)
        return np.asarray(np.log((1.0 - alpha) * weights + alpha / (n - 1) * others))

    def _state(self) -> State:
        return {
            "log_weights": self._log_weights.copy(),
            "last": self._last.copy(),
            "pulls": self._pulls,
            "rewards": self.rewards.state(),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._log_weights = np.array(state["log_weights"])
        self._last = np.array(state["last"])
        self._pulls = int(state["pulls"])
        self.rewards.load(state["rewards"])
        self._forget_chances()

    def _worth(self, arm: int) -> str:
        return (
            f"its weight is {self._softmax()[arm]:.3g} of all, learned from {self._pulls:,} rewards"
            f", and a share {self.epsilon:.3g} of proposals is spread evenly"
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the likeliest arms, their chances and last values (0: none), and the scale."""
        shown = self._shown(last=np.nan_to_num(self._last))
        if self.rewards.count:
            shown["reward_low"], shown["reward_high"] = self.rewards.ends
        return {**shown, "rewards": self.rewards.count}
