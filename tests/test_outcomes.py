"""Outcomes: columns, defaults and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from currgym import Outcomes
from currgym.outcomes import COLUMNS


def full() -> Outcomes:
    return Outcomes(
        np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
        [1.0, 2.0, 3.0],
        ids=[0, -1, 2],
        seeds=[7, 8, 9],
        lengths=[10, 20, 30],
        successes=[0.0, 0.5, 1.0],
        trials=[1, 4, 1],
        discounted=[0.5, 1.5, 2.5],
        terminated=[True, False, True],
        truncated=[False, True, False],
        initial_values=[0.1, 0.2, 0.3],
        probe=True,
        scores={"pvl": [0.0, 0.25, 0.5]},
    )


def test_columns_have_their_types() -> None:
    outcomes = full()
    assert len(outcomes) == 3
    for name in COLUMNS:
        column = getattr(outcomes, name)
        kind = {"returns": "f", "successes": "f", "discounted": "f", "initial_values": "f"}
        kind |= {"terminated": "b", "truncated": "b"}
        assert column.dtype.kind == kind.get(name, "i")
        assert column.shape == (3,)
        assert outcomes.has(name)
    assert outcomes.probe is not None
    assert outcomes.probe.tolist() == [True] * 3
    assert outcomes.has("pvl")
    assert not outcomes.has("maxmc")


def test_defaults() -> None:
    outcomes = Outcomes([[0.0], [1.0]], [1, 2])
    assert outcomes.lengths.tolist() == [1, 1]
    assert outcomes.returns is not None
    assert outcomes.returns.dtype == np.float64
    for name in COLUMNS:
        assert outcomes.has(name) == (name in ("returns", "lengths"))
    assert outcomes.probe is None
    assert outcomes.scores == {}


def test_one_attempt_may_come_as_numbers() -> None:
    outcomes = Outcomes(5, 1.5, lengths=3, successes=True)
    assert outcomes.tasks.tolist() == [5]
    assert outcomes.lengths.tolist() == [3]
    assert outcomes.successes is not None
    assert outcomes.successes.tolist() == [1.0]
    assert len(Outcomes(np.empty((0, 2)), [])) == 0


def test_examples_may_give_their_loss_instead() -> None:
    outcomes = Outcomes([3, 1], scores={"loss": [0.5, 2.0]})
    assert outcomes.returns is None
    with pytest.raises(ValueError, match=r'need returns, or scores\["loss"\]'):
        Outcomes([3, 1], scores={"grad_norm": [0.5, 2.0]})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["returns", "lengths", "successes", "discounted", "initial_values", "pvl", "seeds"]
)
def test_non_finite_values_are_refused_by_row_and_task(name: str, bad: float) -> None:
    columns: dict[str, Any] = {"returns": np.array([1.0, 2.0, 3.0])}
    values = np.array([0.0, 0.5, bad])
    if name == "pvl":
        columns["scores"] = {"pvl": values}
    else:
        columns[name] = values
    with pytest.raises(ValueError, match=rf"{name}.* must be finite, got .* in row 2 \(task 8"):
        Outcomes([6, 7, 8], **columns)


def test_the_sum_may_overflow_where_no_value_does() -> None:
    assert len(Outcomes([0, 1], [1.7e308, 1.7e308])) == 2


def test_a_missing_number_is_no_number() -> None:
    """None among returns would become NaN in the cast, behind the look for it."""
    with pytest.raises(ValueError, match=r"returns must be finite, got nan in row 1 \(task"):
        Outcomes([[0.0], [1.0]], [1.0, None])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("lengths", [3, -5], r"lengths must be at least 0, got -5 in row 1"),
        ("lengths", [3, 1.5], "lengths must be whole numbers"),
        ("trials", [1, 0], r"trials must be at least 1, got 0 in row 1"),
        ("ids", [0.7, 1], "ids must be whole numbers"),
    ],
)
def test_counts_are_counts(column: str, values: list[float], message: str) -> None:
    """A negative length would give steps back to the ledger."""
    columns: dict[str, Any] = {column: values}
    with pytest.raises(ValueError, match=message):
        Outcomes([[0.0], [1.0]], [1.0, 2.0], **columns)
    columns[column] = [float(round(abs(value)) or 1) for value in values]
    assert getattr(Outcomes([[0.0], [1.0]], [1.0, 2.0], **columns), column).dtype == np.int64


def test_non_finite_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tasks must be finite, got nan in row 1"):
        Outcomes([[0.0, 1.0], [2.0, np.nan]], [1.0, 2.0])


def test_wrong_lengths_are_named() -> None:
    with pytest.raises(ValueError, match=r"lengths must have shape \(2,\), one entry a task"):
        Outcomes([0, 1], [1.0, 2.0], lengths=[1, 2, 3])
    with pytest.raises(ValueError, match=r"returns must have shape \(2,\)"):
        Outcomes([0, 1], 1.0)
    with pytest.raises(ValueError, match=r"scores\['pvl'\] must have shape"):
        Outcomes([0, 1], [1.0, 2.0], scores={"pvl": [1.0]})


@pytest.mark.parametrize("successes", [[0.0, 1.1], [-0.1, 0.0]])
def test_successes_lie_between_0_and_1(successes: list[float]) -> None:
    with pytest.raises(ValueError, match=r"successes must lie in \[0, 1\]"):
        Outcomes([0, 1], [1.0, 2.0], successes=successes)


@pytest.mark.parametrize("rows", [[2, 0], slice(1, 3), np.array([True, False, True])])
def test_take(rows: Any) -> None:
    outcomes = full()
    part = outcomes.take(rows)
    for name in (*COLUMNS, "probe", "tasks"):
        assert np.array_equal(getattr(part, name), getattr(outcomes, name)[rows])
    assert np.array_equal(part.scores["pvl"], outcomes.scores["pvl"][rows])
    few = Outcomes([0, 1], [1.0, 2.0]).take([1])
    assert few.ids is None
    assert few.lengths.tolist() == [1]


def test_the_callers_arrays_are_not_changed() -> None:
    tasks, returns = np.array([[0.0], [1.0]]), np.array([1.0, 2.0])
    lengths = np.array([3, 4], dtype=np.int32)
    Outcomes(tasks, returns, lengths=lengths, successes=np.array([True, False]))
    assert tasks.tolist() == [[0.0], [1.0]]
    assert returns.tolist() == [1.0, 2.0]
    assert lengths.dtype == np.int32
