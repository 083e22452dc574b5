"""Data families: what a supervised run is about, as environments are for reinforcement learning."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.curriculum import Ledger
from currgym.registry import Registry, check_arguments, nearest
from currgym.tasks import DiscreteTasks, TaskSpace
from currgym.teaching import Teacher

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Examples", "Family", "HeldOut", "Row", "families", "family_parameters", "make_family",
    "register_family", "uses_scores",
]  # fmt: skip

IntArray = NDArray[np.int64]


class Examples(NamedTuple):
    """What a student trains on.

    Attributes:
        inputs: float32 ``(n, input_dim)``, or ``(n, points, input_dim)`` where a task is a set of
            points.
        targets: ``(n,)`` labels or ``(n, points)`` values.
    """

    inputs: Tensor
    targets: Tensor


class Row(NamedTuple):
    """One line of an evaluation.

    Attributes:
        task_index: Row of the test set's ``tasks``.
        seed: The seed the example was generated from; 0 where nothing is generated.
        loss: The student's loss.
        length: Samples it stands for.
        success: 1 where the answer counts as right, else 0.
    """

    task_index: int
    seed: int
    loss: float
    length: int
    success: float

    @property
    def result(self) -> float:
        """The return: the loss with its sign changed, so that higher is better."""
        return -self.loss


class HeldOut:
    """Examples kept apart from training. Their labels are for :meth:`Family.evaluate` alone.

    Args:
        name: As it stands in ``evaluations.csv``.
        tasks: What is tested, ``(k, d)`` or ``(k,)``.
        task_index: For each example the row of ``tasks``, ``(n,)``.
        seeds: The seed of each example, ``(n,)``.
        examples: Inputs and labels of all of them.
    """

    def __init__(
        self,
        name: str,
        tasks: NDArray[Any],
        task_index: IntArray,
        seeds: IntArray,
        examples: Callable[[], Examples],
    ) -> None:
        self.name = name
        self.tasks = tasks
        self.task_index = task_index
        self.seeds = seeds
        self.reads = 0
        """How often the labels have been read: once an evaluation, and by nothing else."""
        self._make = examples
        self._examples: Examples | None = None

    def __len__(self) -> int:
        return len(self.task_index)

    def read(self) -> Examples:
        """Return inputs and labels, and count the look."""
        self.reads += 1
        if self._examples is None:
            self._examples = self._make()
        return self._examples


class Family(ABC):
    """Base class of data families: one file, one subclass, ``@register_family("data/name")``.

    Every constructor argument has a default and is kept as an attribute of the same name.
    """

    name: ClassVar[str] = ""
    """The registered name."""
    task_space: TaskSpace
    """What tasks there are: examples by number, or a box from which examples are generated."""
    return_range: tuple[float, float]
    """Returns (losses with their sign changed) that teachers see as 0 and 1."""
    mastery: float
    """A task counts as mastered when its return is strictly above this."""
    input_dim: int
    """Inputs of a network."""
    output_dim: int
    """Outputs of a network."""
    samples_per_task: int = 1
    """Samples in one attempt at a task: its length in the ledger."""
    test_sets: Mapping[str, HeldOut]
    """``"test"`` for the final word, ``"validation"`` for every choice."""

    @abstractmethod
    def batch(self, tasks: ArrayLike, seeds: ArrayLike) -> Examples:
        """Return the training examples of ``n`` tasks: a function of (task, seed) alone."""

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each task, shape ``(n,)``, differentiable."""

    @abstractmethod
    def successes(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """Return 1 for each task answered right and 0 for the others, shape ``(n,)``."""

    @property
    def costs(self) -> dict[str, int]:
        """What making the difficulty has cost, as :class:`currgym.curriculum.Ledger` names it."""
        return {}

    def charge(self, ledger: Ledger, teacher: object | None = None) -> None:
        """Book :attr:`costs`: for an arm whose teacher uses the scores, or without a teacher."""
        if teacher is None or uses_scores(teacher):
            ledger.charge(**self.costs)

    def evaluate(self, model: Callable[[Tensor], Tensor], test_set: str = "test") -> list[Row]:
        """Return one row for each example of a test set, in its order.

        Args:
            model: Maps inputs to outputs; a ``torch.nn.Module`` is in evaluation mode meanwhile.
            test_set: A name in :attr:`test_sets`.

        Raises:
            ValueError: For an unknown name, or a loss that is not finite.
        """
        import torch

        if test_set not in self.test_sets:
            raise ValueError(nearest(test_set, self.test_sets, f"test set of {self.name!r}"))
        held_out = self.test_sets[test_set]
        module = model if isinstance(model, torch.nn.Module) else None
        training = module is not None and module.training
        if module is not None:
            module.eval()
        try:
            with torch.no_grad():
                inputs, targets = held_out.read()
                outputs = model(inputs)
                losses = self.losses(outputs, targets).numpy().astype(np.float64)
                successes = self.successes(outputs, targets)
        finally:
            if module is not None:
                module.train(training)
        if not np.isfinite(losses).all():
            row = int(np.argmin(np.isfinite(losses)))
            raise ValueError(
                f"evaluation on {test_set!r} gave the loss {losses[row]} in row {row}: the student "
                "has diverged"
            )
        return [
            Row(index, seed, loss, self.samples_per_task, success)
            for index, seed, loss, success in zip(
                held_out.task_index.tolist(), held_out.seeds.tolist(), losses.tolist(),
                successes.tolist(), strict=True,
            )
        ]  # fmt: skip

    def parameters(self) -> dict[str, Any]:
        """Return the constructor's arguments: ``make_family(name, **parameters)`` repeats it."""
        return {name: getattr(self, name) for name in family_parameters(type(self))}

    def __repr__(self) -> str:
        defaults = family_parameters(type(self))
        shown = [
            f"{name}={value!r}"
            for name, value in self.parameters().items()
            if value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def uses_scores(teacher: object) -> bool:
    """Tell whether a teacher works from the declared difficulty: by name, or through its cube."""
    if "difficulty" in getattr(teacher, "privileges", ()):
        return True
    if not isinstance(teacher, Teacher) or teacher.native:
        return False
    return isinstance(teacher.space, DiscreteTasks)


F = TypeVar("F", bound=type[Family])


def _load_families() -> None:
    for module in ("digits", "regression"):
        importlib.import_module(f"currgym.supervised.{module}")


families: Registry[type[Family]] = Registry("data family", _load_families)
"""Every registered data family, by name."""


def register_family(name: str) -> Callable[[F], F]:
    """Register a family class under a name (``"data/..."``).

    Raises:
        ValueError: If another class has the name, or it does not begin with ``data/``.
    """

    def add(cls: F) -> F:
        if not name.startswith("data/"):
            raise ValueError(f"the name of a data family must begin with 'data/', got {name!r}")
        cls.name = name
        families.add(name, cls)
        return cls

    return add


def family_parameters(cls: type[Family]) -> dict[str, inspect.Parameter]:
    """Return a family's parameters, in order."""
    parameters = inspect.signature(cls.__init__, eval_str=True).parameters
    return {k: p for k, p in parameters.items() if k != "self"}


def make_family(name: str, **parameters: Any) -> Family:
    """Build a family by name.

    Raises:
        ValueError: For an unknown name (the nearest valid ones are named), or a value out of range.
        TypeError: For an unknown parameter (likewise).
    """
    cls = families[name]
    check_arguments(parameters, family_parameters(cls), f"data family {name!r}")
    return cls(**parameters)
