"""Makes ``rliable.json``: what rliable 1.2.0 computes of two small score matrices.

rliable does not import with pandas 3, so it stands in an environment of its own:

    python -m venv yardstick
    yardstick/bin/pip install rliable==1.2.0 "pandas<3"
    yardstick/bin/python tests/statistics/rliable_reference.py

It draws from NumPy's global generator, whatever ``random_state`` it is given.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np

THRESHOLDS = [-0.5, 0.0, 0.2, 0.5, 0.9, 1.5]
RESAMPLES = 20_000


def main() -> None:
    """Compute and write."""
    # They are not dependencies of this project.
    from rliable import library, metrics  # type: ignore[import-not-found]

    rng = np.random.default_rng(2021)
    # Rounded to one digit, so that some scores are tied.
    x = rng.normal([0.3, 0.5, 0.8, 0.4], 0.4, (10, 4)).round(1)
    y = rng.normal([0.2, 0.5, 0.5, 0.6], 0.3, (10, 4)).round(1)
    np.random.seed(0)  # noqa: NPY002
    scores, intervals = library.get_interval_estimates(
        {"x": x, "y": y},
        lambda s: np.array([metrics.aggregate_iqm(s), metrics.aggregate_optimality_gap(s)]),
        reps=RESAMPLES,
    )
    better, better_interval = library.get_interval_estimates(
        {"x,y": (x, y)}, metrics.probability_of_improvement, reps=RESAMPLES
    )
    profiles, _ = library.create_performance_profile(
        {"x": x, "y": y}, np.array(THRESHOLDS), reps=10
    )
    document = {
        "command": "python tests/statistics/rliable_reference.py",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("rliable", "arch", "pandas", "numpy", "scipy")},
        },
        "x": x.tolist(),
        "y": y.tolist(),
        "thresholds": THRESHOLDS,
        "resamples": RESAMPLES,
        "interquartile_mean": {k: float(v[0]) for k, v in scores.items()},
        "optimality_gap": {k: float(v[1]) for k, v in scores.items()},
        "interquartile_mean_percentiles": {k: v[:, 0].tolist() for k, v in intervals.items()},
        "optimality_gap_percentiles": {k: v[:, 1].tolist() for k, v in intervals.items()},
        "probability_of_improvement": float(better["x,y"]),
        "probability_of_improvement_percentiles": np.ravel(better_interval["x,y"]).tolist(),
        "profile": {k: v.tolist() for k, v in profiles.items()},
    }
    path = Path(__file__).with_name("rliable.json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
