"""Statistics for comparing teachers over seeds, on scipy.

Every function that samples takes a NumPy generator and draws from nothing else.
"""

from currgym.statistics.intervals import (
    Interval,
    paired_difference,
    permutation_interval,
    t_band,
    t_interval,
    welch_difference,
)
from currgym.statistics.robust import cvar, interquartile_mean
from currgym.statistics.verdicts import FEWEST_SEEDS, Verdict, fewest_seeds, holm, judge

__all__ = [
    "FEWEST_SEEDS",
    "Interval",
    "Verdict",
    "cvar",
    "fewest_seeds",
    "holm",
    "interquartile_mean",
    "judge",
    "paired_difference",
    "permutation_interval",
    "t_band",
    "t_interval",
    "welch_difference",
]
