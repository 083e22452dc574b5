"""Covar-GMM: components are useful where returns rise with time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.students.simulated import CubeStudent, teach
from currgym.tasks import BoxTasks
from currgym.teachers._mixtures import Mixture
from currgym.teachers.covar_gmm import CovarGMM
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> CovarGMM:
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(CovarGMM, make_teacher("covar-gmm", space, **settings))


def feed(teacher: CovarGMM, tasks: FloatArray, returns: FloatArray, batch: int = 1) -> None:
    for i in range(0, len(tasks), batch):
        teacher.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))


def spots(rise: list[float]) -> Mixture:
    """Narrow components side by side at x = 1/4, 2/4, ..., with these covariances of (t, r)."""
    k = len(rise)
    means = np.column_stack([(np.arange(k) + 1.0) / (k + 1), np.full((k, 3), 0.5)])
    covariances = np.tile(np.diag([1e-6, 1e-6, 0.1, 0.1]), (k, 1, 1))
    covariances[:, 2, 3] = covariances[:, 3, 2] = rise
    return Mixture(np.full(k, 1 / k), means, covariances, np.linalg.cholesky(covariances), 0.0)


def test_trace_worked_by_hand() -> None:
    # Ten attempts are one fit: time is 0, .1, ... .9; returns -10 ... 10 count as 0 ... 1.
    left = [(0.0, -10.0), (0.2, -6.0), (0.4, -6.0), (0.6, 2.0), (0.8, 10.0)]
    right = [(0.1, 4.0), (0.3, 4.0), (0.5, 0.0), (0.7, -4.0), (0.9, -4.0)]
    for seed in range(10):  # the first whose mixture separates the two places
        teacher = build(
            BoxTasks([0], [8]), seed=seed, fit_period=10, min_components=2, max_components=2,
            return_range=(-10, 10), random_ratio=0.0,
        )  # fmt: skip
        for (_, early), (_, late) in zip(left, right, strict=True):
            teacher.update(Outcomes([[0.0]], [early]))
            teacher.update(Outcomes([[8.0]], [late]))
        if np.ptp(teacher.snapshot().get("means", np.ones((2, 1)))[:, 0]) > 0.99:
            break
    else:
        raise AssertionError("no mixture separates the two places")
    shown = teacher.snapshot()
    np.testing.assert_allclose(shown["rows"][:, 1], np.arange(10) / 10, atol=1e-6)
    np.testing.assert_allclose(shown["rows"][::2, 2], [r for _, r in left])
    # Left: times .0 .2 .4 .6 .8 (mean .4), returns 0 .2 .2 .6 1 (mean .4): the mean product is
    # (0 + .04 + .08 + .36 + .8) / 5 = .256, less .4 * .4: .096.
    # Right: times .1 .3 .5 .7 .9 (mean .5), returns .7 .7 .5 .3 .3 (mean .5): (.07 + .21 + .25 +
    # .21 + .27) / 5 = .202, less .25: -.048.
    first = int(np.argmin(shown["means"][:, 0]))
    np.testing.assert_allclose(shown["rise"][[first, 1 - first]], [0.096, -0.048], atol=1e-6)
    np.testing.assert_allclose(shown["chances"][[first, 1 - first]], [1.0, 0.0], atol=1e-6)
    assert (teacher.sample(100) < 1.0).all()


def test_absolute_counts_falling_returns_too() -> None:
    shares = []
    for absolute in (False, True):
        teacher = build(random_ratio=0.0, absolute=absolute)
        teacher._adopt(spots([0.01, 0.03, -0.06]))
        places = np.rint(teacher.sample(8000)[:, 0] * 4).astype(int) - 1
        shares.append(np.bincount(places, minlength=3) / 8000)
    np.testing.assert_allclose(shares, [[0.25, 0.75, 0], [0.1, 0.3, 0.6]], atol=0.02)


def test_without_rise_components_are_equally_likely() -> None:
    teacher = build(random_ratio=0.0)
    teacher._adopt(spots([0.0, -0.02, -0.01]))
    places = np.rint(teacher.sample(6000)[:, 0] * 4).astype(int) - 1
    np.testing.assert_allclose(np.bincount(places) / 6000, [1 / 3] * 3, atol=0.02)


def test_profile_rising_returns_are_followed_and_falling_ones_avoided() -> None:
    # Both sides change alike, so that absolute progress finds them equally good.
    rng = np.random.default_rng(1)
    tasks = rng.random((750, 2))
    time = np.tile(np.arange(250) / 250, 3)
    returns = np.where(tasks[:, 0] < 0.3, time, np.where(tasks[:, 0] > 0.7, 1.0 - time, 0.5))
    teacher = build(random_ratio=0.0, boundary="resample")
    feed(teacher, tasks, returns, batch=50)
    assert teacher.sample(10).shape == (10, 2)
    drawn = teacher.sample(1000)
    assert np.mean(drawn[:, 0] < 0.4) > 0.9


def test_time_runs_anew_in_every_window() -> None:
    teacher = build(fit_period=20, max_components=3)
    rng = np.random.default_rng(2)
    feed(teacher, rng.random((50, 2)), rng.random(50), batch=7)
    assert teacher.fits == 2
    np.testing.assert_allclose(
        teacher.snapshot()["rows"][:, 2], np.r_[np.arange(10, 20), np.arange(10)] / 20
    )


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(3)
    tasks, returns = rng.random((500, 2)), rng.random(500)
    states = []
    for batch in (1, 7, 500):
        teacher = build(fit_period=100, max_components=4)
        feed(teacher, tasks, returns, batch)
        states.append((teacher.state_dict(), teacher.sample(5)))
    for state, drawn in states[1:]:
        np.testing.assert_equal(state, states[0][0])
        np.testing.assert_array_equal(drawn, states[0][1])


def test_a_window_is_compared_on_one_scale() -> None:
    # Without a range the scale moves; the same raw return must stay the same return in a window.
    teacher = build(fit_period=40, max_components=2, return_range=None)
    rng = np.random.default_rng(4)
    for i in range(40):
        teacher.update(Outcomes(rng.random((1, 2)), [7.0 if i % 2 else float(i)]))
    rows = teacher._fit_rows()
    assert len(set(rows[1::2, 3])) == 1
    assert 0.0 <= rows[:, 3].min() <= rows[:, 3].max() <= 1.0


def test_failed_fit_keeps_the_mixture() -> None:
    teacher = build(fit_period=50)
    rng = np.random.default_rng(5)
    feed(teacher, rng.random((50, 2)), rng.random(50), batch=50)
    kept = teacher.mixture
    assert kept is not None
    feed(teacher, np.full((50, 2), 0.5), np.full(50, 0.5), batch=50)
    # Time alone differs: fitted or not, there is a mixture still, and it is counted.
    assert teacher.mixture is not None
    assert teacher.fits + teacher.failed_fits == 2
    teacher._rows[:] = 0.5
    before, failed = teacher.mixture, teacher.failed_fits
    teacher._fit()
    assert teacher.mixture is before
    assert teacher.snapshot()["failed_fits"] == failed + 1


def test_presets_and_defaults() -> None:
    paper = cast(CovarGMM, make_teacher("covar-gmm:corl2019", SQUARE))
    assert (paper.fit_period, paper.random_ratio, paper.max_components) == (250, 0.2, 10)
    benchmark = cast(CovarGMM, make_teacher("covar-gmm:teachmyagent", SQUARE))
    assert (benchmark.fit_period, benchmark.bootstrap) == (150, 150)
    assert (benchmark.random_ratio, benchmark.max_components) == (0.1, 14)
    assert not paper.absolute
    assert not benchmark.absolute


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit_period": 1}, "fit_period must be at least 2, got 1"),
        ({"bootstrap": -1}, "bootstrap must be at least 0"),
        ({"random_ratio": 1.5}, "random_ratio must lie in"),
        ({"min_components": 5, "max_components": 4}, "max_components not below"),
        ({"criterion": "dic"}, "criterion must be one of"),
        ({"boundary": "wrap"}, "boundary must be one of"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)


def test_teaches_the_toy_better_than_chance() -> None:
    finals = {
        name: [teach(CubeStudent(cubes=4), name, 1500, seed=1000 + i).final for i in range(2)]
        for name in ("covar-gmm", "random")
    }
    assert min(finals["covar-gmm"]) > 1.3 * max(finals["random"])
