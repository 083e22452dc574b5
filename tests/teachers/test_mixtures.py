import math
import warnings
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from currgym.teachers._mixtures import Criterion, Mixture, fit_mixture, parameter_count

FloatArray = NDArray[np.float64]
SIZES = range(2, 7)


def window(seed: int, n: int = 250, clip: bool = True) -> FloatArray:
    """Tasks in a few clusters, some clipped into a corner; progress exactly zero for many."""
    rng = np.random.default_rng(seed)
    centres = rng.random((4, 2))
    tasks = centres[rng.integers(4, size=n)] + rng.normal(0.0, 0.12, (n, 2))
    if clip:
        tasks = np.clip(tasks, 0.0, 1.0)
    progress = np.where(tasks[:, 0] > 0.5, rng.random(n) * 0.3, 0.0)
    return np.column_stack([tasks, progress])


def fitted(rows: FloatArray, seed: int = 0, sizes: range = SIZES) -> Mixture:
    mixture = fit_mixture(rows, sizes, np.random.default_rng(seed))
    assert mixture is not None
    return mixture


def as_sklearn(mixture: Mixture, **settings: int) -> GaussianMixture:
    return GaussianMixture(
        len(mixture),
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=np.linalg.inv(mixture.covariances),
        **settings,
    )


def test_as_good_as_sklearn() -> None:
    gaps = []
    for seed in range(6):
        rows = window(seed)
        theirs = min(GaussianMixture(k, random_state=seed).fit(rows).aic(rows) for k in SIZES)
        gaps.append(fitted(rows, seed).criterion - theirs)
    assert np.median(gaps) < 5.0
    assert np.mean(np.array(gaps) < 0) >= 0.4


@pytest.mark.parametrize("seed", range(5))
def test_chosen_mixture_is_a_fixed_point(seed: int) -> None:
    rows = window(seed)
    mixture = fitted(rows, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        after = as_sklearn(mixture, max_iter=1).fit(rows).score_samples(rows).sum()
    assert abs(after - mixture.log_density(rows).sum()) < 1e-3


def test_criterion_and_density_agree_with_sklearn() -> None:
    rows = window(3)
    mixture = fitted(rows)
    twin = as_sklearn(mixture)
    twin.weights_, twin.means_ = mixture.weights, mixture.means
    twin.covariances_ = mixture.covariances
    twin.precisions_cholesky_ = np.linalg.inv(mixture.factors).transpose(0, 2, 1)
    np.testing.assert_allclose(mixture.log_density(rows), twin.score_samples(rows), rtol=1e-9)
    assert twin._n_parameters() == parameter_count(len(mixture), 3)
    assert mixture.criterion == pytest.approx(twin.aic(rows), abs=1e-3)
    assert mixture.weights.sum() == pytest.approx(1.0)


def test_parameter_count_by_hand() -> None:
    # Nine full 3-D components: 9 * 6 covariances, 9 * 3 means, 8 free weights.
    assert parameter_count(9, 3) == 89
    assert parameter_count(1, 1) == 2


def test_penalties_by_hand() -> None:
    rows = window(1)
    for k in (2, 3):
        values = {
            name: fit_mixture(rows, [k], np.random.default_rng(0), criterion=name)
            for name in get_args(Criterion)
        }
        criterion = {name: m.criterion for name, m in values.items() if m is not None}
        p, n = parameter_count(k, 3), len(rows)
        assert criterion["bic"] - criterion["aic"] == pytest.approx(p * math.log(n) - 2 * p)
        correction = 2 * p * (p + 1) / (n - p - 1)
        assert criterion["aicc"] - criterion["aic"] == pytest.approx(correction)


def test_aicc_leaves_out_what_it_cannot_judge() -> None:
    rows = window(0, n=40)
    assert parameter_count(4, 3) == 39
    mixture = fit_mixture(rows, range(2, 11), np.random.default_rng(0), criterion="aicc")
    assert mixture is not None
    assert len(mixture) <= 3
    # 40 rows and 39 parameters: n - p - 1 = 0.
    assert fit_mixture(rows, [4], np.random.default_rng(0), criterion="aicc") is None


def test_unknown_criterion() -> None:
    with pytest.raises(ValueError, match="criterion must be one of"):
        fit_mixture(window(0), [2], np.random.default_rng(0), criterion="dic")  # type: ignore[arg-type]


def test_separate_clusters_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0.1, 0.1, 0.0], [0.9, 0.2, 0.5], [0.5, 0.9, 0.2]])
    rows = truth[rng.integers(3, size=300)] + rng.normal(0.0, 0.02, (300, 3))
    mixture = fit_mixture(rows, range(1, 6), rng, criterion="bic")
    assert mixture is not None
    assert len(mixture) == 3
    found = mixture.means[np.argsort(mixture.means[:, 2])]
    np.testing.assert_allclose(found, truth[[0, 2, 1]], atol=0.01)
    np.testing.assert_allclose(mixture.covariances, np.tile(np.eye(3) * 4e-4, (3, 1, 1)), atol=2e-4)


def test_one_component_is_mean_and_covariance() -> None:
    rows = window(2)
    mixture = fitted(rows, sizes=range(1, 2))
    np.testing.assert_allclose(mixture.means[0], rows.mean(axis=0), atol=1e-6)
    expected = np.cov(rows.T, bias=True) + 1e-6 * np.eye(3)
    np.testing.assert_allclose(mixture.covariances[0], expected, atol=1e-7)


def test_degenerate_rows_never_raise() -> None:
    rng = np.random.default_rng(0)
    point = np.full((250, 3), 0.3)
    two = np.repeat([[0.1, 0.2, 0.0], [0.9, 0.2, 0.0]], 125, axis=0)
    flat = np.column_stack([rng.random(250), np.full(250, 0.5), np.zeros(250)])
    cases = [point, two, flat, rng.random((1, 3)), rng.random((2, 3)), np.empty((0, 3))]
    cases += [np.full((50, 3), np.nan), rng.random((250, 1)), rng.random((30, 9))]
    found = [fit_mixture(rows, range(2, 11), rng) for rows in cases]
    assert found[0] is None
    assert found[1] is not None
    assert len(found[1]) == 2
    np.testing.assert_allclose(np.sort(found[1].means[:, 0]), [0.1, 0.9])
    assert found[2] is not None
    assert [m is None for m in found[3:7]] == [True, False, True, True]
    for mixture in found:
        if mixture is not None:
            assert np.isfinite(mixture.covariances).all()
            assert np.isfinite(mixture.draw(0, rng)).all()


def test_no_more_components_than_distinct_rows() -> None:
    rng = np.random.default_rng(1)
    rows = rng.random((4, 3))[rng.integers(4, size=100)]
    mixture = fit_mixture(rows, range(2, 11), rng)
    assert mixture is not None
    assert len(mixture) <= 4


def test_draws_follow_their_component() -> None:
    mixture = fitted(window(4))
    rng = np.random.default_rng(0)
    drawn = np.array([mixture.draw(1, rng) for _ in range(20_000)])
    np.testing.assert_allclose(drawn.mean(axis=0), mixture.means[1], atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), mixture.covariances[1], atol=0.005)


def test_same_generator_same_mixture() -> None:
    rows = window(5)
    first, second = fitted(rows, 7), fitted(rows.copy(), 7)
    copy = Mixture.from_state(first.state())
    for name in ("weights", "means", "covariances", "factors"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        np.testing.assert_array_equal(getattr(first, name), getattr(copy, name))
    assert first.criterion == second.criterion == copy.criterion
