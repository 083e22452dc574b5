"""Our mixture fits against scikit-learn's, on windows that ALP-GMM really meets.

Question: is one stacked EM over all candidate sizes as good as one scikit-learn fit for each, and
how much cheaper? The windows are those of ALP-GMM teaching the paper's toy student, several seeds.

Command (about ten minutes on one core, most of it scikit-learn's)::

    python experiments/mixtures.py --windows 1000

Three figures: in how many windows our criterion (AIC) is lower than that of a scikit-learn run over
the same sizes with another seed (0.5 is chance), the median difference, and how far one further EM
step of scikit-learn from our mixture moves the log-likelihood. Then the ratio of the times.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from currgym.students import CubeStudent, teach
from currgym.teachers._mixtures import Mixture, fit_mixture, parameter_count
from currgym.teachers.alp_gmm import ALPGMM

FloatArray = NDArray[np.float64]

SIZES = range(2, 11)
ROWS = 250
ATTEMPTS = 20_000
FIRST_SEED = 1000
RESULTS = Path(__file__).parent / "results"


def windows(count: int) -> Iterator[tuple[FloatArray, float]]:
    """Yield rows (task, ALP) from ALP-GMM on the toy, and what each attempt of them took."""
    for run in range(-(-count * ROWS // ATTEMPTS)):
        student = CubeStudent(cubes=10, dims=2)
        teacher = ALPGMM(
            student.task_space, seed=FIRST_SEED + run, return_range=(0, 1), fit_period=ROWS
        )
        for _ in range(min(ATTEMPTS // ROWS, count - run * (ATTEMPTS // ROWS))):
            start = time.process_time()
            teach(student, teacher, ROWS, every=ROWS)
            seconds = time.process_time() - start
            yield teacher.snapshot()["rows"], seconds / ROWS


def reference(rows: FloatArray, seed: int) -> float:
    """Return the lowest AIC over all sizes, as the authors' code finds it with scikit-learn."""
    fits = (GaussianMixture(k, random_state=seed).fit(rows) for k in SIZES)
    return min(float(fit.aic(rows)) for fit in fits)


def one_more_step(rows: FloatArray, mixture: Mixture) -> float:
    """Return by how much one EM step of scikit-learn changes the log-likelihood of all rows."""
    step = GaussianMixture(
        len(mixture),
        max_iter=1,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=np.linalg.inv(mixture.covariances),
    )
    after = float(step.fit(rows).score_samples(rows).sum())
    return abs(after - float(mixture.log_density(rows).sum()))


def compare(count: int) -> dict[str, Any]:
    """Fit every window both ways."""
    gaps, steps, attempt_seconds = np.empty(count), np.empty(count), np.empty(count)
    ours = theirs = 0.0
    for i, (rows, seconds) in enumerate(windows(count)):
        attempt_seconds[i] = seconds
        start = time.process_time()
        mixture = fit_mixture(rows, SIZES, np.random.default_rng(i))
        ours += time.process_time() - start
        if mixture is None:
            raise RuntimeError(f"window {i} could not be fitted")
        start = time.process_time()
        lowest = reference(rows, seed=100_000 + i)
        theirs += time.process_time() - start
        likelihood = float(mixture.log_density(rows).sum())
        parameters = parameter_count(len(mixture), rows.shape[1])
        gaps[i] = 2.0 * parameters - 2.0 * likelihood - lowest
        steps[i] = one_more_step(rows, mixture)
        if (i + 1) % 50 == 0 or i + 1 == count:
            print(f"{i + 1} of {count} windows", flush=True)
    return {
        "windows": count,
        "share_better": float(np.mean(gaps < 0)),
        "median_difference": float(np.median(gaps)),
        "mean_difference": float(np.mean(gaps)),
        "largest_step_total": float(steps.max()),
        "largest_step_per_row": float(steps.max() / ROWS),
        "fixed_points_total": float(np.mean(steps < 1e-3)),
        "fixed_points_per_row": float(np.mean(steps / ROWS < 1e-3)),
        "fit_milliseconds": 1e3 * ours / count,
        "sklearn_milliseconds": 1e3 * theirs / count,
        "fit_speed_ratio": theirs / ours,
        "teacher_microseconds_per_attempt": 1e6 * float(attempt_seconds.mean()),
        "sklearn_fits_microseconds_per_attempt": 1e6 * theirs / count / ROWS,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def report(found: dict[str, Any]) -> str:
    """Put the figures into words."""
    return (
        "AIC lower than scikit-learn's in {share_better:.1%} of {windows} windows, "
        "median difference {median_difference:+.2f}\n"
        "one more step moves the log-likelihood by at most {largest_step_total:.1e} "
        "({largest_step_per_row:.1e} a row), by less than 1e-3 in {fixed_points_total:.1%}\n"
        "a fit takes {fit_milliseconds:.1f} ms, scikit-learn's {sklearn_milliseconds:.1f} ms: "
        "{fit_speed_ratio:.1f} times faster\n"
        "an attempt takes {teacher_microseconds_per_attempt:.0f} microseconds in all, the share "
        "of scikit-learn's fits alone is {sklearn_fits_microseconds_per_attempt:.0f}"
    ).format(**found)


def main() -> None:
    """Run the comparison and write its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--windows", type=int, default=1000, help="windows compared (1000)")
    parser.add_argument("--short", action="store_true", help="20 windows: a look, no figures")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for mixtures.json")
    options = parser.parse_args()
    if options.short:
        options.windows = 20
    if options.windows < 1:
        parser.error(f"--windows must be at least 1, got {options.windows}")
    if options.windows < 1000 and options.out == RESULTS:
        parser.error("fewer than 1,000 windows are no figure to keep: give another --out")
    with warnings.catch_warnings():
        # One step does not converge, and windows with repeated rows make k-means warn.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = compare(options.windows)
    print(report(found))
    if options.windows < 1000:
        print("illustration, no verdict: the figures are of 1,000 windows")
    found["readme"] = [
        {
            "what": f"alp-gmm's mixtures on {found['windows']:,} stored windows: AIC better than a "
            "scikit-learn run's / median difference of AIC",
            "figure": f"{found['share_better']:.1%} / {found['median_difference']:+.1f}",
        },
        {
            "what": "fitting nine mixtures to 250 rows, against scikit-learn's",
            "figure": f"{found['fit_speed_ratio']:.0f} times faster in the same run",
        },
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "mixtures.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
