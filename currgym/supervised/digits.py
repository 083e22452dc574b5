"""Handwritten digits, example by example: the real data that ships with scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.supervised.base import Examples, Family, HeldOut, register_family
from currgym.tasks import DiscreteTasks

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Digits"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CLASSES = 10


@register_family("data/digits")
class Digits(Family):
    """Classify 8x8 images of digits (scikit-learn's ``load_digits``: 1,797 images, 10 classes).

    A task is one of 1,257 training examples; 270 images are for validation and 270 for the test
    (70/15/15 %), which is few: a difference of a percentage point is three images. Inputs are
    standardised with the training set's mean and deviation. ``groups`` of the task space are the
    labels as trained on, the *difficulty* is the loss of an ordinary model trained to the end
    (:func:`currgym.supervised.scoring_run`), counted as one scoring pass and one teacher training.
    Within a process equal scoring runs are made once; each arm that uses them is charged all the
    same.

    The returns that teachers see are minus the cross-entropy: 0 stands for guessing (or worse), 1
    for certainty. A task is mastered when the true class has more than half of the probability; an
    answer is a *success* when its class is the likeliest.

    Args:
        label_noise: Share of training labels changed to another class, in [0, 1]. Validation and
            test labels stay right, so a selection on validation knows more than the training set.
        seed: Of the split and of the wrong labels.
        scored: Whether to run the scoring run; without it the space has no difficulty.
        scoring_passes: Passes over the training set in the scoring run.
        scoring_seed: Seed of the scoring run.
        scorer: Parameters of the model that scores, by default those of
            :class:`currgym.students.SupervisedStudent`; give it the student's.
        with_features: Whether the task space carries the standardised pixels as ``features``.

    >>> family = Digits(scored=False)
    >>> family.task_space, family.batch([3, 4], [0, 0]).inputs.shape
    (DiscreteTasks(1257), torch.Size([2, 64]))
    """

    mastery = -math.log(2)
    return_range = (-math.log(CLASSES), 0.0)
    input_dim = 64
    output_dim = CLASSES

    def __init__(
        self,
        *,
        label_noise: float = 0.0,
        seed: int = 0,
        scored: bool = True,
        scoring_passes: int = 30,
        scoring_seed: int = 1000,
        scorer: Mapping[str, Any] | None = None,
        with_features: bool = False,
    ) -> None:
        import torch

        if not 0.0 <= label_noise <= 1.0:
            raise ValueError(f"label_noise must be in [0, 1], got {label_noise}")
        if scoring_passes < 1:
            raise ValueError(f"scoring_passes must be at least 1, got {scoring_passes}")
        self.label_noise = label_noise
        self.seed = seed
        self.scored = scored
        self.scoring_passes = scoring_passes
        self.scoring_seed = scoring_seed
        self.scorer = scorer
        self.with_features = with_features

        inputs, labels = _images()
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(labels))
        held = round(0.15 * len(labels))
        parts = {
            "test": order[:held], "validation": order[held : 2 * held], "train": order[2 * held :],
        }  # fmt: skip
        train = parts["train"]
        mean, deviation = inputs[train].mean(axis=0), inputs[train].std(axis=0)
        inputs = (inputs - mean) / np.where(deviation > 0, deviation, 1.0)
        given = labels[train].copy()
        self.flipped = np.zeros(len(train), dtype=np.bool_)
        """Which training labels are wrong: for reports, never for a teacher."""
        wrong = rng.choice(len(train), round(label_noise * len(train)), replace=False)
        self.flipped[wrong] = True
        given[wrong] = (given[wrong] + rng.integers(1, CLASSES, size=len(wrong))) % CLASSES

        self._inputs = torch.from_numpy(inputs[train].astype(np.float32))
        self._targets = torch.from_numpy(given)
        self.test_sets = {
            name: _held_out(name, inputs[parts[name]], labels[parts[name]])
            for name in ("test", "validation")
        }
        features = inputs[train] if with_features else None
        difficulty = None
        if scored:
            settings = json.dumps(dict(scorer or {}), sort_keys=True)
            difficulty = _scores(label_noise, seed, scoring_passes, scoring_seed, settings)
        self.task_space = DiscreteTasks(len(train), difficulty, groups=given, features=features)

    @property
    def costs(self) -> dict[str, int]:
        """One scoring pass and one teacher training, where there are scores."""
        return {"scoring_passes": 1, "teacher_trainings": 1} if self.scored else {}

    def batch(self, tasks: ArrayLike, seeds: ArrayLike) -> Examples:
        """Return these training examples; nothing is generated, so the seeds are not used."""
        rows = self.task_space.check(tasks)
        return Examples(self._inputs[rows], self._targets[rows])

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each example, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets, reduction="none")

    def successes(self, outputs: Tensor, targets: Tensor) -> FloatArray:
        """Return 1 where the likeliest class is the label."""
        right: NDArray[np.bool_] = (outputs.argmax(dim=1) == targets).numpy()
        return right.astype(np.float64)


@lru_cache(maxsize=1)
def _images() -> tuple[FloatArray, IntArray]:
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return inputs.astype(np.float64), labels.astype(np.int64)


def _held_out(name: str, inputs: FloatArray, labels: IntArray) -> HeldOut:
    def examples() -> Examples:
        import torch

        return Examples(torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(labels))

    every = np.arange(len(labels))
    return HeldOut(name, every, every, np.zeros(len(labels), dtype=np.int64), examples)


@lru_cache(maxsize=64)
def _scores(
    label_noise: float, seed: int, passes: int, scoring_seed: int, settings: str
) -> FloatArray:
    """Return the scoring run's losses; equal ones are computed once a process."""
    from currgym.supervised.scoring import scoring_run

    plain = Digits(label_noise=label_noise, seed=seed, scored=False)
    student: dict[str, Any] = json.loads(settings)
    scores = scoring_run(plain, passes=passes, seed=scoring_seed, **student)
    scores.setflags(write=False)
    return scores
