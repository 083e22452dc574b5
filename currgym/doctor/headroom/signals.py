"""What a teacher could know at a checkpoint: surrogate scores of each cell, from probe attempts.

Probes are attempts without learning by the student as it explores in training. From ``k`` of them
in each cell:

- ``alp``: absolute learning progress, ``|mean return now - mean return at the checkpoint before|``
  (Portelas et al. 2019, arXiv:1910.07224, sec. 3, there between neighbouring tasks over time);
- ``p(1-p)``: learnability, with ``p`` the share solved (Tzannetos et al. 2023, arXiv:2304.12877;
  Rutherford et al. 2024, arXiv:2408.15099, eq. 1);
- ``pvl``, ``td``: means of the scores of :mod:`currgym.scores` (Jiang et al. 2021,
  arXiv:2110.02439 and arXiv:2010.03934), from the student's own critic;
- ``maxmc``: the same paper's maximum Monte Carlo, with the best return seen in the cell so far;
- ``disagreement``: standard deviation over an ensemble of small value networks, each fitted to the
  probes' returns as a function of the task on a bootstrap sample of its own. The idea is that of
  Zhang, Abbeel and Pinto 2020, arXiv:2006.09641 (sec. 4.1), whose ensemble is trained by temporal
  differences on replay instead; fitted values exist for every kind of student.

A student without a critic (data, toys) has no ``pvl``, ``td`` and ``maxmc``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Curriculum, Ledger
from currgym.doctor.headroom.cells import Cells
from currgym.runs.attempts import Listed, explore
from currgym.runs.run import Run
from currgym.runs.seeding import seed_for

__all__ = ["ENSEMBLE", "SIGNALS", "Probes", "probe", "signals"]

FloatArray = NDArray[np.float64]

SIGNALS = ("alp", "p(1-p)", "pvl", "maxmc", "td", "disagreement")
ENSEMBLE = 5
HIDDEN = 16
_CRITIC_SCORES = frozenset({"pvl", "maxmc", "td"})


@dataclass(frozen=True)
class Probes:
    """Probe attempts at one checkpoint, one entry each.

    Attributes:
        tasks: As the space writes them.
        cells: Of each.
        returns: Raw.
        successes: In [0, 1]; None where nothing says what success is.
        scores: ``pvl``, ``maxmc`` and ``td`` where the student has a critic.
        ledger: What they cost.
    """

    tasks: NDArray[Any]
    cells: NDArray[np.int64]
    returns: FloatArray
    successes: FloatArray | None
    scores: Mapping[str, FloatArray]
    ledger: Ledger


def probe(run: Run, step: int, cells: Cells, per_cell: int) -> Probes:
    """Attempt tasks of every cell with the student of a checkpoint; it learns nothing.

    The tasks are the same at every checkpoint of every run, each is attempted once, and none of
    them is among those that value a fork.

    Args:
        run: The uniform run.
        step: Of the checkpoint.
        cells: Where.
        per_cell: Attempts in each cell.
    """
    rng = np.random.default_rng([271_828, len(cells), per_cell])
    where = np.repeat(np.arange(len(cells)), per_cell)
    tasks = np.concatenate([cells.sample(c, per_cell, rng) for c in range(len(cells))])
    session = run.load_session(step)
    try:
        attempt = _ATTEMPTS[run.config.kind]
        seed = seed_for(run.config.seed, f"probe {step}")
        columns, ledger = attempt(session, run, tasks, seed)
    finally:
        session.close()
    return Probes(tasks, where, columns["returns"], columns["successes"], columns["scores"], ledger)


def _attempt_rl(
    session: Any, run: Run, tasks: NDArray[Any], seed: int
) -> tuple[dict[str, Any], Ledger]:
    scores = _CRITIC_SCORES
    try:
        session.student.value_function()
    except ValueError:  # it has no state values
        scores = frozenset()
    listed, ledger = explore(session, tasks, seed, scores)
    return listed.first(), ledger


def _attempt_examples(
    session: Any, run: Run, tasks: NDArray[Any], seed: int
) -> tuple[dict[str, Any], Ledger]:
    listed = Listed(tasks, frozenset())
    curriculum = Curriculum(listed, seed=seed)
    session.student.probe(curriculum)
    columns = listed.first()
    columns["returns"] = -columns["scores"]["loss"]
    columns["scores"] = {}
    return columns, curriculum.ledger


def _attempt_simulated(
    session: Any, run: Run, tasks: NDArray[Any], seed: int
) -> tuple[dict[str, Any], Ledger]:
    outcomes = session.student.attempt(tasks, learn=False)
    columns = {"returns": outcomes.returns, "successes": outcomes.successes, "scores": {}}
    return columns, Ledger(probes=len(tasks), probe_steps=len(tasks))


_ATTEMPTS = {"rl": _attempt_rl, "supervised": _attempt_examples, "simulated": _attempt_simulated}


def signals(
    now: Probes,
    earlier: list[Probes],
    cells: Cells,
    scale: tuple[float, float],
    seed: int,
) -> dict[str, FloatArray]:
    """Return each surrogate's score of every cell, ``(m,)``.

    Args:
        now: Probes at this checkpoint.
        earlier: Those of the checkpoints before, in order; at least one.
        cells: The grid.
        scale: Raw returns that count as 0 and 1.
        seed: Of the ensemble.
    """
    m = len(cells)

    def mean(probes: Probes, values: FloatArray) -> FloatArray:
        return np.array([values[probes.cells == c].mean() for c in range(m)])

    progress = np.abs(mean(now, now.returns) - mean(earlier[-1], earlier[-1].returns))
    found = {"alp": progress / (scale[1] - scale[0])}
    if now.successes is not None:
        p = mean(now, now.successes)
        found["p(1-p)"] = p * (1.0 - p)
    for name in ("pvl", "td"):
        if name in now.scores:
            found[name] = mean(now, now.scores[name])
    if "maxmc" in now.scores:
        best = np.array(
            [max(p.returns[p.cells == c].max() for p in [*earlier, now]) for c in range(m)]
        )
        # The score takes an attempt's own return for the best one: add the difference.
        found["maxmc"] = mean(now, now.scores["maxmc"] + best[now.cells] - now.returns)
    found["disagreement"] = mean(now, _disagreement(now, cells, scale, seed))
    return found


def _disagreement(now: Probes, cells: Cells, scale: tuple[float, float], seed: int) -> FloatArray:
    """Return the standard deviation of the ensemble's values at each probe's task."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    inputs = 2.0 * cells.space.to_unit(now.tasks) - 1.0
    targets = (now.returns - scale[0]) / (scale[1] - scale[0])
    rng = np.random.default_rng(seed)
    values = []
    for member in range(ENSEMBLE):
        rows = rng.integers(len(targets), size=len(targets))
        network = MLPRegressor(
            hidden_layer_sizes=(HIDDEN,), activation="tanh", solver="lbfgs", alpha=0.01,
            max_iter=200, random_state=member,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(inputs[rows], targets[rows])
        values.append(network.predict(inputs))
    return np.asarray(np.std(values, axis=0, ddof=1))
