"""The supervised student: a small PyTorch network that learns from whatever a curriculum issues."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from currgym.curriculum import Curriculum, Ledger, Tickets
from currgym.registry import nearest
from currgym.students.meter import OptimizerMeter
from currgym.supervised.base import Family, Row
from currgym.supervised.networks import MLP

__all__ = ["SupervisedStudent"]

FloatArray = NDArray[np.float64]
OPTIMIZERS = ("adam", "adamw", "sgd")


class SupervisedStudent:
    """A multi-layer perceptron trained on one batch of tasks at a time.

    Initial weights and dropout come from a generator of its own; torch's and NumPy's global random
    states are neither read nor moved. Given seed, family and curriculum, a run repeats bit for bit
    (same versions, CPU and number of threads), from any :meth:`state_dict` too.

    Args:
        family: What is learnt.
        seed: Of initial weights and dropout.
        hidden: Width of each hidden layer.
        activation: ``"relu"``, ``"tanh"``, ``"gelu"`` or ``"silu"``.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        lr: Learning rate.
        betas: Decay rates of Adam's two averages.
        momentum: Of ``"sgd"``.
        weight_decay: Weight decay (added to the gradient, but in ``"adamw"``).
        dropout: Share of hidden units left out in training, in [0, 1).
        batch_size: Tasks in one update.

    >>> from currgym import Curriculum, make_teacher
    >>> from currgym.supervised import make_family
    >>> family = make_family("data/regression")
    >>> student = SupervisedStudent(family, seed=0)
    >>> curriculum = Curriculum(make_teacher("random", family.task_space, seed=0), seed=0)
    >>> student.step(curriculum)
    >>> student.updates, curriculum.ledger.attempts, curriculum.ledger.steps
    (1, 32, 256)
    """

    provides: ClassVar[frozenset[str]] = frozenset(
        {"ids", "seeds", "lengths", "successes", "loss", "probe"}
    )
    """Columns and scores that its outcomes carry, and ``"probe"``: requests are answered."""

    def __init__(
        self,
        family: Family,
        *,
        seed: int,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        optimizer: str = "adam",
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if not 0.0 < lr < math.inf:
            raise ValueError(f"lr must be above 0, got {lr}")
        self.family = family
        self.seed = seed
        self.hidden = tuple(hidden)
        self.activation = activation
        self.lr = lr
        self.betas = betas
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_size = batch_size
        self._generator = torch.Generator().manual_seed(seed)
        self.model = MLP(
            family.input_dim, family.output_dim, self.hidden, activation, dropout,
            generator=self._generator,
        )  # fmt: skip
        self.optimizer = self._make_optimizer(optimizer)
        self.meter = OptimizerMeter(self.optimizer)

    @property
    def updates(self) -> int:
        """Gradient updates so far."""
        return self.meter.updates

    def _make_optimizer(self, name: str) -> torch.optim.Optimizer:
        parameters, decay = self.model.parameters(), self.weight_decay
        if name == "sgd":
            return torch.optim.SGD(parameters, self.lr, momentum=self.momentum, weight_decay=decay)
        if self.momentum:
            raise ValueError(f"momentum is for optimizer='sgd'; {name!r} has betas")
        if name == "adam":
            return torch.optim.Adam(parameters, self.lr, self.betas, weight_decay=decay)
        if name == "adamw":
            return torch.optim.AdamW(parameters, self.lr, self.betas, weight_decay=decay)
        raise ValueError(nearest(name, OPTIMIZERS, "optimizer"))

    # Learning ------------------------------------------------------------------------------------

    def step(self, curriculum: Curriculum, size: int | None = None) -> None:
        """Answer the teacher's requests, then learn from one batch of its tasks.

        The batch's loss is the mean of (weight times loss) over its tasks, the weights exactly as
        the teacher gives them.

        Args:
            curriculum: Issues the tasks and takes the outcomes; its ledger is charged.
            size: Tasks in the batch; ``batch_size`` by default.

        Raises:
            ValueError: If a loss or a weight is not finite (the examples are named). The network
                has not changed then, and the batch's tickets are cancelled.
        """
        self.probe(curriculum)
        tickets = curriculum.issue(self.batch_size if size is None else size)
        inputs, targets = self.family.batch(tickets.tasks, tickets.seeds)
        self.model.train()
        outputs = self.model(inputs)
        losses = self.family.losses(outputs, targets)
        values = losses.detach().numpy().astype(np.float64)
        try:
            self._check("loss", values, tickets)
            weights = self._weights(curriculum.teacher, tickets, values)
        except ValueError:
            curriculum.cancel(tickets.ids, self._lengths(tickets))
            raise
        self.optimizer.zero_grad()
        (losses if weights is None else losses * weights).mean().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        curriculum.ledger.charge(updates=1)
        self._settle(curriculum, tickets, values, outputs.detach(), targets)

    def probe(self, curriculum: Curriculum) -> None:
        """Attempt what the teacher requests, in evaluation mode, and learn nothing from it."""
        tickets = curriculum.requests()
        if tickets is None:
            return
        outputs, targets, values = self._attempt(tickets.tasks, tickets.seeds)
        self._settle(curriculum, tickets, values, outputs, targets)

    def learn(self, curriculum: Curriculum, samples: int) -> None:
        """Take steps until the ledger counts this many samples; the last batch may be smaller."""
        while (left := samples - curriculum.ledger.steps) > 0:
            self.step(curriculum, min(self.batch_size, -(-left // self.family.samples_per_task)))

    def losses(self, tasks: ArrayLike, seeds: ArrayLike | None = None) -> FloatArray:
        """Return the loss on training tasks in evaluation mode, shape ``(n,)``; nothing is learnt.

        Args:
            tasks: Any number of tasks.
            seeds: What each example is generated from; zeros by default.
        """
        rows = self.family.task_space.check(tasks)
        return self._attempt(rows, np.zeros(len(rows), dtype=np.int64) if seeds is None else seeds)[
            2
        ]

    def _attempt(self, tasks: ArrayLike, seeds: ArrayLike) -> tuple[Tensor, Tensor, FloatArray]:
        inputs, targets = self.family.batch(tasks, seeds)
        self.model.eval()
        with torch.no_grad():
            outputs = self.model(inputs)
            values = self.family.losses(outputs, targets).numpy().astype(np.float64)
        return outputs, targets, values

    def _settle(
        self,
        curriculum: Curriculum,
        tickets: Tickets,
        values: FloatArray,
        outputs: Tensor,
        targets: Tensor,
    ) -> None:
        curriculum.settle(
            tickets.ids,
            scores={"loss": values},
            successes=self.family.successes(outputs, targets),
            lengths=self._lengths(tickets),
        )

    def _lengths(self, tickets: Tickets) -> NDArray[np.int64]:
        return np.full(len(tickets.ids), self.family.samples_per_task)

    def _weights(self, teacher: object, tickets: Tickets, values: FloatArray) -> Tensor | None:
        weigh = getattr(teacher, "weights", None)
        if weigh is None:
            return None
        weights = np.asarray(weigh(tickets.tasks, values), dtype=np.float64)
        if weights.shape != values.shape:
            raise ValueError(
                f"weights must have shape {values.shape}, one a task, got {weights.shape}"
            )
        self._check("weight", weights, tickets)
        return torch.from_numpy(weights.astype(np.float32))

    def _check(self, what: str, values: FloatArray, tickets: Tickets) -> None:
        """Refuse values that are not finite, naming the first of them."""
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad) == 0:
            return
        as_dict = self.family.task_space.as_dict
        named = ", ".join(
            f"{as_dict(tickets.tasks[row])} with seed {tickets.seeds[row]} ({values[row]})"
            for row in bad[:3].tolist()
        )
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        blame = (
            f"look at these examples, or lower lr={self.lr:g} if training has diverged"
            if what == "loss"
            else "the teacher's weights() is at fault"
        )
        raise ValueError(
            f"the {what} of {len(bad)} of {len(values)} examples is not finite after "
            f"{self.updates} updates: {named}{more}; no update was made: {blame}"
        )

    # Evaluation and state ------------------------------------------------------------------------

    def evaluate(self, test_set: str = "test", ledger: Ledger | None = None) -> list[Row]:
        """Return one row for each example of a test set, in its order; nothing is learnt.

        Args:
            test_set: ``"test"`` or ``"validation"``.
            ledger: Is charged one evaluation for each row, and the samples of all of them.
        """
        rows = self.family.evaluate(self.model, test_set)
        if ledger is not None:
            ledger.charge(evaluations=len(rows), evaluation_steps=sum(row.length for row in rows))
        return rows

    def reseed(self, seed: int) -> None:
        """Draw dropout from this seed from now on."""
        self._generator.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes: tensors (copies) below ``"torch"``, the rest plain numbers."""
        return {
            "meter": self.meter.state_dict(),
            "torch": {
                "model": {name: t.clone() for name, t in self.model.state_dict().items()},
                "optimizer": copy.deepcopy(self.optimizer.state_dict()),
                "generator": self._generator.get_state(),
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, bit for bit."""
        self.meter.load_state_dict(state["meter"])
        tensors = state["torch"]
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_dict(copy.deepcopy(tensors["optimizer"]))
        self._generator.set_state(tensors["generator"])
