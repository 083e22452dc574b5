"""Statistics for comparing teachers over seeds, on scipy.

Every function that samples takes a NumPy generator and draws from nothing else. An interval method
is offered where it was shown to cover what it says (:data:`FEWEST_VALUES`; ``experiments/
coverage.py`` makes the table), and refuses the rest.
"""

from currgym.statistics.bounded import (
    bounded_difference,
    bounded_interval,
    bounded_paired_difference,
)
from currgym.statistics.choice import (
    PAIR_ABOVE,
    difference,
    difference_if_offered,
    mean_interval,
    pairs_seeds,
    seed_correlation,
)
from currgym.statistics.contrasts import (
    BestArm,
    Contrast,
    best_against_runner_up,
    contrasts,
    contrasts_of,
)
from currgym.statistics.curves import Times, area_under_curve, forgetting, time_to_threshold
from currgym.statistics.decomposition import Decomposition, decompose
from currgym.statistics.domains import FEWEST_VALUES, SHAPES, NotOffered, Shape, offered
from currgym.statistics.equivalence import Equivalence, equivalence
from currgym.statistics.intervals import (
    Interval,
    paired_difference,
    permutation_interval,
    t_band,
    t_interval,
    welch_difference,
)
from currgym.statistics.plans import Plan
from currgym.statistics.power import power_of_t, seeds_from_pilot, seeds_needed, upper_sd
from currgym.statistics.profiles import Profile, performance_profile
from currgym.statistics.robust import (
    cvar,
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)
from currgym.statistics.shares import (
    share_difference,
    share_interval,
    share_paired_difference,
)
from currgym.statistics.skewed import bootstrap_t_interval, skewed_difference
from currgym.statistics.survival import (
    TimesContrast,
    compare_times,
    median_time,
    restricted_mean_time,
)
from currgym.statistics.verdicts import (
    FEWEST_SEEDS,
    TUNING_SEEDS_FROM,
    Verdict,
    conclude,
    conclude_bar,
    fewest_seeds,
    holm,
    judge,
)

__all__ = [
    "FEWEST_SEEDS",
    "FEWEST_VALUES",
    "PAIR_ABOVE",
    "SHAPES",
    "TUNING_SEEDS_FROM",
    "BestArm",
    "Contrast",
    "Decomposition",
    "Equivalence",
    "Interval",
    "NotOffered",
    "Plan",
    "Profile",
    "Shape",
    "Times",
    "TimesContrast",
    "Verdict",
    "area_under_curve",
    "best_against_runner_up",
    "bootstrap_t_interval",
    "bounded_difference",
    "bounded_interval",
    "bounded_paired_difference",
    "compare_times",
    "conclude",
    "conclude_bar",
    "contrasts",
    "contrasts_of",
    "cvar",
    "decompose",
    "difference",
    "difference_if_offered",
    "equivalence",
    "fewest_seeds",
    "forgetting",
    "holm",
    "interquartile_mean",
    "judge",
    "mean_interval",
    "median_time",
    "offered",
    "optimality_gap",
    "paired_difference",
    "pairs_seeds",
    "performance_profile",
    "permutation_interval",
    "power_of_t",
    "probability_of_improvement",
    "restricted_mean_time",
    "seed_correlation",
    "seeds_from_pilot",
    "seeds_needed",
    "share_difference",
    "share_interval",
    "share_paired_difference",
    "skewed_difference",
    "t_band",
    "t_interval",
    "time_to_threshold",
    "upper_sd",
    "welch_difference",
]
