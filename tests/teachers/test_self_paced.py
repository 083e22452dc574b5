import math
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym.outcomes import Outcomes
from currgym.tasks import BoxTasks
from currgym.teachers.self_paced import Gaussian, SelfPaced, improve
from currgym.teaching import make_teacher

FloatArray = NDArray[np.float64]
LINE = BoxTasks([0], [1])
SQUARE = BoxTasks([0, 0], [1, 1])


def build(space: BoxTasks = SQUARE, **settings: Any) -> SelfPaced:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "return_range": (0, 1), **settings}
    return cast(SelfPaced, make_teacher("self-paced", space, **settings))


def kl(m: float, s: float, to_m: float, to_s: float) -> float:
    """KL(N(m, s^2) || N(to_m, to_s^2))."""
    return math.log(to_s / s) + (s**2 + (m - to_m) ** 2) / (2 * to_s**2) - 0.5


def best_on_a_line(
    m: float, s: float, to_m: float, to_s: float, x: FloatArray, v: FloatArray, alpha: float,
    max_kl: float,
) -> tuple[float, float]:  # fmt: skip
    """Search the edge of the trust region, finer and finer: an independent solution."""

    def value(new_m: float, new_s: float) -> float:
        ratio = (s / new_s) * np.exp((x - m) ** 2 / (2 * s**2) - (x - new_m) ** 2 / (2 * new_s**2))
        return float((ratio * v).mean()) - alpha * kl(new_m, new_s, to_m, to_s)

    best = (-math.inf, m, s)
    for sign in (-1.0, 1.0):
        low, high = 0.2 * s, 5.0 * s
        for _ in range(30):
            found = (-math.inf, 0.0, 0.0)
            for new_s in np.linspace(low, high, 200):
                # KL(old || new) = max_kl, solved for the new mean.
                square = 2 * new_s**2 * (max_kl + 0.5 - math.log(new_s / s)) - s**2
                if square >= 0:
                    new_m = m + sign * math.sqrt(square)
                    found = max(found, (value(new_m, new_s), new_m, float(new_s)))
            step = (high - low) / 199
            low, high = found[2] - 2 * step, found[2] + 2 * step
            best = max(best, found)
    return best[1], best[2]


def test_trace_worked_out_independently() -> None:
    # From N(.5, .25^2) towards N(.9, .1^2), given as two tasks; the first two fits ignore it.
    teacher = build(
        LINE, target=[[0.8], [1.0]], update_period=4, offset=1, alpha_offset=2, zeta=0.5,
        max_kl=0.05, std_floor=0.0,
    )  # fmt: skip
    to_s = math.sqrt(0.1**2 + 5e-4**2)
    rng = np.random.default_rng(5)
    m, s = 0.5, 0.25
    for period in range(10):
        assert "means" in teacher.snapshot()
        shown = teacher.snapshot()
        m, s = float(shown["means"][0, 0]), math.sqrt(float(shown["covariances"][0, 0, 0]))
        if period <= 1:  # the first period changes nothing
            assert (m, s) == pytest.approx((0.5, 0.25))
        x = m + s * rng.uniform(-2, 2, 4)
        x = np.clip(x, 0.0, 1.0)
        v = np.round(rng.random(4), 2)
        teacher.update(Outcomes(x[:, None], v))
        if period == 0:
            continue
        alpha = 0.5 * float(v.mean()) / kl(m, s, 0.9, to_s) if period > 2 else 0.0
        shown = teacher.snapshot()
        assert shown["alpha"] == pytest.approx(alpha, abs=1e-9)
        found = float(shown["means"][0, 0]), math.sqrt(float(shown["covariances"][0, 0, 0]))
        expected = best_on_a_line(m, s, 0.9, to_s, x, v, alpha, 0.05)
        assert found == pytest.approx(expected, abs=1e-6)
    assert teacher.snapshot()["fits"] == 9


def drive(teacher: SelfPaced, value: Any, periods: int, batch: int = 20, **columns: Any) -> None:
    for _ in range(periods):
        tasks = teacher.sample(batch)
        values = value(tasks)
        teacher.update(Outcomes(tasks, values, **{k: f(tasks) for k, f in columns.items()}))


def test_profile_goes_where_the_student_performs_then_to_the_target() -> None:
    # Performance falls off with the distance from the left side; the target is on the right.
    target = [[0.8, 0.3], [1.0, 0.3], [0.8, 0.7], [1.0, 0.7]]
    teacher = build(target=target, update_period=50, alpha_offset=30, offset=0)
    drive(teacher, lambda x: np.exp(-4.0 * x[:, 0]), 75)  # 30 updates
    assert teacher.sample(1000)[:, 0].mean() < 0.3
    drive(teacher, lambda x: np.ones(len(x)), 150)
    shown = teacher.snapshot()
    assert "means" in shown
    np.testing.assert_allclose(shown["means"], [[0.9, 0.5]], atol=0.03)
    np.testing.assert_allclose(shown["covariances"], [np.diag([0.01, 0.04])], atol=0.01)


def test_profile_the_value_form_believes_the_value_estimates() -> None:
    teacher = build(form="value", alpha_offset=1000, update_period=50)
    drive(
        teacher, lambda x: x[:, 0], 40,
        initial_values=lambda x: 7.0 - 9.0 * x[:, 0], successes=lambda x: np.ones(len(x)),
    )  # fmt: skip
    assert teacher.sample(400)[:, 0].mean() < 0.3
    assert teacher.needs == {"initial_values"}
    assert build(preset="value").needs == {"initial_values"}
    assert build(preset="episodic").needs == frozenset()


def test_alpha_in_the_value_form_comes_from_discounted_returns_where_there_are_some() -> None:
    cases: list[tuple[dict[str, Any], float]] = [
        ({}, 3.0), ({"discounted": np.full(20, 6.0)}, 6.0),
    ]  # fmt: skip
    for columns, mean in cases:
        teacher = build(form="value", offset=0, alpha_offset=0, zeta=0.5, target=[[0.6, 0.6]])
        distance = teacher._present.kl_to(teacher._goal)
        tasks = teacher.sample(20)
        teacher.update(Outcomes(tasks, np.zeros(20), initial_values=np.full(20, 3.0), **columns))
        assert teacher.snapshot()["alpha"] == pytest.approx(0.5 * mean / distance)
    teacher = build(form="value", offset=0, alpha_offset=0)
    teacher.update(Outcomes(tasks, np.zeros(20), initial_values=np.full(20, -3.0)))
    assert teacher.snapshot()["alpha"] == 0.0


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("alpha", [0.0, 0.01, 3.0])
def test_a_step_is_better_and_within_the_trust_region(dim: int, alpha: float) -> None:
    # Both: the reference accepts a step that is either.
    for seed in range(6):
        rng = np.random.default_rng(seed)
        spread = 10.0 ** rng.uniform(-3, 0, dim)
        old = Gaussian(rng.random(dim), np.tril(rng.normal(size=(dim, dim)) * 0.3, -1) * spread[
            :, None] + np.diag(spread))  # fmt: skip
        target = Gaussian(rng.random(dim), 10.0 ** rng.uniform(-3, 0) * np.eye(dim))
        tasks = old.mean + rng.normal(size=(30, dim)) @ old.factor.T
        values = rng.random(30)

        def objective(new: Gaussian, old: Any = old, tasks: Any = tasks, v: Any = values,
                      target: Any = target) -> float:  # fmt: skip
            weights = np.exp(new.log_density(tasks) - old.log_density(tasks))
            return float((weights * v).mean()) - alpha * new.kl_to(target)

        new = improve(old, target, tasks, values, alpha, 0.1)
        assert new is not None
        assert old.kl_to(new) <= 0.1 * (1 + 1e-5)
        assert objective(new) > objective(old)


def test_divergence_and_moments() -> None:
    old = Gaussian(np.array([0.2]), np.array([[0.1]]))
    new = Gaussian(np.array([0.5]), np.array([[0.3]]))
    assert old.kl_to(new) == pytest.approx(kl(0.2, 0.1, 0.5, 0.3))
    points = np.array([[0.0, 0.0], [0.2, 0.4]])
    fitted = Gaussian.of(points, 2, 1.0)
    np.testing.assert_allclose(fitted.mean, [0.1, 0.2])
    np.testing.assert_allclose(fitted.covariance, [[0.01, 0.02], [0.02, 0.04]], atol=1e-6)
    np.testing.assert_allclose(Gaussian.of(None, 2, 0.25).covariance, np.eye(2) / 16)


def test_the_floor_holds_until_the_target_is_near() -> None:
    teacher = build(
        initial=[[0.2, 0.2], [0.4, 0.4], [0.2, 0.4], [0.4, 0.2]], target=[[0.9, 0.9]],
        alpha_offset=0, kl_threshold=8000.0, std_floor=0.03,
    )  # fmt: skip
    narrow = []
    for _ in range(200):
        drive(teacher, lambda x: np.ones(len(x)), 1)
        shown = teacher.snapshot()
        std = float(np.sqrt(np.diagonal(shown["covariances"][0])).min())
        far = shown["kl_to_target"] > 8000.0
        if far:
            assert std >= 0.03 - 1e-9
        narrow.append(not far and std < 0.01)
    assert narrow[-1]
    # For a wide target it holds for good.
    wide = build(alpha_offset=1000, std_floor=0.1)
    drive(wide, lambda x: np.exp(-20.0 * x[:, 0]), 60)
    assert float(np.sqrt(np.diagonal(wide.snapshot()["covariances"][0])).min()) >= 0.1 - 1e-9


def test_draws_do_not_pile_up_on_the_faces() -> None:
    corner = build(initial=[[0, 0], [0.2, 0], [0, 0.2], [0.0, 0.0]])
    tasks = corner.sample(2000)
    assert (tasks == 0.0).mean() < 0.01
    assert tasks.max() > 0.1


def test_foreign_tasks_do_not_wreck_the_fit() -> None:
    teacher = build(initial=[[0.1, 0.1]], target=[[0.9, 0.9]], offset=0, std_floor=0.0)
    before = teacher.snapshot()["means"]
    far = np.full((20, 2), 0.8)  # more than a thousand deviations away
    teacher.update(Outcomes(far, np.ones(20)))
    shown = teacher.snapshot()
    assert (shown["fits"], shown["failed_fits"]) == (0, 1)
    np.testing.assert_array_equal(shown["means"], before)
    mixed = np.concatenate([teacher.sample(10), far[:10]])
    teacher.update(Outcomes(mixed, np.ones(20)))
    assert teacher.snapshot()["fits"] == 1
    assert np.isfinite(teacher.snapshot()["covariances"]).all()


def test_batches_of_any_size_equal_single_updates() -> None:
    rng = np.random.default_rng(3)
    tasks, returns = rng.random((230, 2)), rng.random(230)
    states = []
    for batch in (1, 7, 230):
        teacher = build()
        for i in range(0, 230, batch):
            teacher.update(Outcomes(tasks[i : i + batch], returns[i : i + batch]))
        states.append(teacher.state_dict())
    np.testing.assert_equal(states[1], states[0])
    np.testing.assert_equal(states[2], states[0])


def test_measure_and_privileges() -> None:
    assert build(measure="success").needs == {"successes"}
    assert build().privileges == frozenset()
    assert build(target=[[1, 1]], initial=[[0, 0]]).privileges == {"initial", "target"}
    teacher = build(measure="success", offset=0, alpha_offset=0)
    tasks = teacher.sample(20)
    teacher.update(Outcomes(tasks, np.ones(20), successes=np.zeros(20)))
    assert teacher.snapshot()["alpha"] == 0.0


def test_presets() -> None:
    mass = build(preset="pointmass")
    assert (mass.form, mass.zeta, mass.max_kl, mass.alpha_offset) == ("value", 1.6, 0.05, 10)
    # As many attempts as the Gaussian has parameters, and at least the paper's 20.
    assert build().update_period == 20
    assert build(BoxTasks([0] * 10, [1] * 10)).update_period == 10 + 55
    benchmark = build(preset="teachmyagent")
    assert (benchmark.zeta, benchmark.max_kl) == (0.25, 0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "step"}, "form must be one of"),
        ({"zeta": -1.0}, "zeta must be at least 0"),
        ({"alpha_offset": -1}, "alpha_offset must be at least 0"),
        ({"offset": -1}, "offset must be at least 0"),
        ({"update_period": 1}, "update_period must be at least 2, got 1"),
        ({"kl_threshold": -1.0}, "kl_threshold must be at least 0"),
        ({"max_kl": 0.0}, "max_kl must be above 0"),
        ({"std_floor": 2.0}, "std_floor must lie in"),
        ({"measure": "reward"}, "measure must be one of"),
        ({"initial": np.empty((0, 2))}, "initial must have at least one"),
    ],
)
def test_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**settings)
