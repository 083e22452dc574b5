"""DORAEMON: entropy under a success constraint and a trust region."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from currgym.outcomes import Outcomes
from currgym.tasks import BoxTasks
from currgym.teachers.doraemon import DORAEMON
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
LINE = BoxTasks([0], [10])
SQUARE = BoxTasks([0, 0], [1, 1])
GRID = (np.arange(1000) + 0.5) / 1000


def build(space: BoxTasks = SQUARE, **settings: Any) -> DORAEMON:
    return cast(DORAEMON, make_teacher("doraemon", space, **{"seed": 0, **settings}))


def feed(teacher: DORAEMON, tasks: FloatArray, successes: FloatArray) -> None:
    teacher.update(Outcomes(tasks, np.zeros(len(tasks)), successes=successes))


def exponents(teacher: DORAEMON) -> FloatArray:
    found = teacher.snapshot().get("exponents")
    assert found is not None, "no distribution"
    return np.asarray(found)


def divergence(old: FloatArray, new: FloatArray) -> float:
    """KL of one-dimensional Betas, by numerical integration."""
    p, q = stats.beta(*old).pdf(GRID), stats.beta(*new).logpdf(GRID)
    kept = p > 1e-300
    return float(np.mean(p[kept] * (np.log(p[kept]) - q[kept])))


def weighted(old: FloatArray, new: FloatArray, x: FloatArray, s: FloatArray) -> float:
    return float(np.mean(stats.beta(*new).pdf(x) / stats.beta(*old).pdf(x) * s))


def best_on_grid(
    old: FloatArray, x: FloatArray, s: FloatArray, least: float | None
) -> tuple[float, float]:
    """Brute force: the largest entropy with a success rate, or (without) the largest rate."""
    best = (-np.inf, -np.inf)
    for a in old[0] * np.exp(np.linspace(-0.6, 0.4, 17)):
        for b in old[1] * np.exp(np.linspace(-0.6, 0.4, 17)):
            new = np.array([a, b])
            if a < 1 or b < 1 or divergence(old, new) > 0.1:
                continue
            rate = weighted(old, new, x, s)
            goal = rate if least is None else float(stats.beta(a, b).entropy())
            if (least is None or rate >= least) and goal > best[0]:
                best = (goal, rate)
    return best


def test_trace_worked_by_hand() -> None:
    teacher = build(LINE, fit_period=4, max_kl=0.1, success_rate=0.5, concentration=20.0)
    start = exponents(teacher).ravel()
    np.testing.assert_allclose(start, [20, 20], atol=1e-6)
    # 1. All four succeed, evenly about the middle: as wide as the divergence of .1 allows, evenly.
    feed(teacher, np.array([[4.5], [4.8], [5.2], [5.5]]), np.ones(4))
    first = exponents(teacher).ravel()
    expected = brentq(lambda a: divergence(start, np.array([a, a])) - 0.1, 5.0, 19.9, xtol=1e-9)
    np.testing.assert_allclose(first, [expected, expected], atol=1e-3)
    assert teacher.snapshot()["entropy"] == pytest.approx(
        float(stats.beta(expected, expected).entropy()), abs=1e-5
    )
    # 2. Success on the left only, at the limit of the rate: wider, and no less success than .5.
    x, s = np.array([0.42, 0.47, 0.53, 0.58]), np.array([1.0, 1.0, 0.0, 0.0])
    feed(teacher, 10 * x[:, None], s)
    second = exponents(teacher).ravel()
    entropy, _ = best_on_grid(first, x, s, 0.5)
    assert teacher.snapshot()["entropy"] > entropy - 1e-3
    assert teacher.snapshot()["entropy"] > float(stats.beta(*first).entropy())
    assert weighted(first, second, x, s) == pytest.approx(0.5, abs=2e-4)
    assert divergence(first, second) <= 0.1 + 2e-4
    assert second[0] / second.sum() < 0.5
    # 3. One success in four: the rate itself as high as the divergence allows; .5 is out of reach.
    x, s = np.array([0.3, 0.45, 0.5, 0.55]), np.array([1.0, 0.0, 0.0, 0.0])
    feed(teacher, 10 * x[:, None], s)
    third = exponents(teacher).ravel()
    rate, _ = best_on_grid(second, x, s, None)
    assert rate < 0.5
    assert weighted(second, third, x, s) > rate - 1e-3
    assert divergence(second, third) <= 0.1 + 2e-4
    assert teacher.snapshot()["backups"] == 1
    # 4. Nothing succeeds: no direction is better, it stays.
    feed(teacher, 10 * x[:, None], np.zeros(4))
    np.testing.assert_allclose(exponents(teacher).ravel(), third, rtol=1e-6)


def test_formulas_equal_scipy() -> None:
    from currgym.teachers.doraemon import Betas

    rng = np.random.default_rng(0)
    for _ in range(5):
        old, new = 1.0 + 8.0 * rng.random((2, 2, 3))
        assert Betas.entropy(new)[0] == pytest.approx(stats.beta(*new).entropy().sum(), abs=1e-9)
        columns = [divergence(old[:, i], new[:, i]) for i in range(3)]
        assert Betas.divergence(old, new)[0] == pytest.approx(sum(columns), rel=1e-3)
        x, s = rng.random((6, 3)), rng.random(6)
        logs = np.log(np.stack([x, 1 - x], axis=1))
        density = stats.beta(*new).logpdf(x).sum(axis=1)
        np.testing.assert_allclose(Betas.log_density(new, logs), density, atol=1e-9)
        drawn = Betas.log_density(old, logs)
        rate = np.mean(np.exp(density - stats.beta(*old).logpdf(x).sum(axis=1)) * s)
        assert Betas.success(new, logs, drawn, s)[0] == pytest.approx(rate, rel=1e-9)
        for function in (
            Betas.entropy,
            lambda shape, old=old: Betas.divergence(old, shape),
            lambda shape, logs=logs, drawn=drawn, s=s: Betas.success(shape, logs, drawn, s),
        ):
            gradient = function(new)[1]
            for place in np.ndindex(2, 3):
                step = np.zeros((2, 3))
                step[place] = 1e-5
                slope = (function(new + step)[0] - function(new - step)[0]) / 2e-5
                assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_profile_begins_narrow_and_ends_as_wide_as_success_allows() -> None:
    # Solvable up to .3 of the first dimension: half of the tasks succeed in the end.
    teacher = build(initial=[[0.1, 0.5]], fit_period=200)
    first = teacher.sample(500)
    assert np.abs(first - [0.1, 0.5]).max() < 0.25
    for _ in range(40):
        tasks = teacher.sample(200)
        feed(teacher, tasks, (tasks[:, 0] < 0.3).astype(float))
    drawn = teacher.sample(2000)
    assert np.mean(drawn[:, 0] < 0.3) == pytest.approx(0.5, abs=0.1)
    assert drawn[:, 0].max() > 0.6
    # Where nothing limits it, it becomes uniform.
    assert stats.kstest(drawn[:, 1], "uniform").statistic < 0.05


def test_profile_retreats_where_the_student_fails() -> None:
    teacher = build(fit_period=100, initial=[[0.5, 0.5]], concentration=10.0)
    for _ in range(15):
        tasks = teacher.sample(100)
        feed(teacher, tasks, (tasks[:, 0] < 0.3).astype(float))
    assert np.mean(teacher.sample(2000)[:, 0] < 0.3) > 0.4
    assert teacher.snapshot()["backups"] > 0


def test_the_distribution_moves_once_a_period_and_by_so_much_at_most() -> None:
    teacher = build(LINE, fit_period=50, max_kl=0.02)
    for _ in range(10):
        before = exponents(teacher).ravel()
        feed(teacher, teacher.sample(49), np.ones(49))
        np.testing.assert_array_equal(exponents(teacher).ravel(), before)
        feed(teacher, teacher.sample(1), np.ones(1))
        assert 0.015 < divergence(before, exponents(teacher).ravel()) < 0.0203


def test_never_and_always() -> None:
    never, always = build(fit_period=50), build(fit_period=50)
    start = exponents(never)
    for _ in range(60):
        feed(never, never.sample(50), np.zeros(50))
        feed(always, always.sample(50), np.ones(50))
    np.testing.assert_allclose(exponents(never), start, rtol=1e-6)
    np.testing.assert_allclose(exponents(always), np.ones((2, 2)), atol=1e-3)


def test_attempts_that_it_would_not_have_drawn_do_not_count() -> None:
    teacher = build(fit_period=50)
    far = SQUARE.sample(2000, np.random.default_rng(1))
    far = far[np.abs(far - 0.5).max(axis=1) > 0.4]
    feed(teacher, far, np.ones(len(far)))
    assert teacher.snapshot()["updates"] == 0
    tasks = teacher.sample(200)
    teacher.update(Outcomes(tasks, np.zeros(200), successes=np.ones(200), ids=np.full(200, -1)))
    assert teacher.snapshot()["updates"] == 0


def test_batches_of_any_size_equal_single_updates() -> None:
    drawn = build().sample(230)
    successes = (drawn[:, 0] < 0.5).astype(float)
    states = []
    for batch in (1, 7, 230):
        teacher = build(fit_period=50)
        for i in range(0, 230, batch):
            feed(teacher, drawn[i : i + batch], successes[i : i + batch])
        states.append(teacher.state_dict()["own"])
    for state in states[1:]:
        np.testing.assert_equal(state, states[0])


def test_a_solution_that_misses_a_limit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.optimize

    class Wild:
        x = np.full(4, 0.1)

    teacher = build(fit_period=20)
    before = exponents(teacher)
    monkeypatch.setattr(scipy.optimize, "minimize", lambda *a, **k: Wild)
    feed(teacher, teacher.sample(20), np.ones(20))
    np.testing.assert_array_equal(exponents(teacher), before)
    assert teacher.snapshot()["failed_fits"] == 1


def test_measure_and_declarations() -> None:
    assert build().needs == {"successes"}
    assert build(measure="return").needs == frozenset()
    assert build().privileges == {"success_threshold"}
    assert build(initial=[[0, 0]]).privileges == {"success_threshold", "initial"}
    teacher = build(measure="return", return_range=(0, 10), fit_period=20)
    before = teacher.snapshot()["entropy"]
    teacher.update(Outcomes(teacher.sample(20), np.full(20, 8.0)))
    assert teacher.snapshot()["success_rate"] == pytest.approx(0.8)
    assert teacher.snapshot()["entropy"] > before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"success_rate": 1.0}, "success_rate must lie in"),
        ({"max_kl": 0.0}, "max_kl must be above 0"),
        ({"fit_period": 1}, "fit_period must be at least 2, got 1"),
        ({"concentration": 1.0}, "concentration must be above 1"),
        ({"measure": "luck"}, "measure must be one of"),
        ({"initial": [[2, 0]]}, "x0 = 2"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
