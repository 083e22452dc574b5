"""Easy to hard: the open share of the space grows from its easy end."""

from __future__ import annotations

from currgym.teachers._paced import PacedTeacher
from currgym.teaching import register

__all__ = ["EasyToHard"]


@register(
    "easy-to-hard",
    presets={
        "competence": {"pacing": "root", "power": 2.0, "start": 0.01},
        "baby-steps": {"pacing": "step", "start": 0.2, "steps": 4},
    },
)
class EasyToHard(PacedTeacher):
    """Draw uniformly from the easiest share of the space, which grows by a pacing function.

    Source: Bengio et al. 2009 (the idea); Platanios et al. 2019, arXiv 1903.09848, eqs. 5-7 (share
    of the difficulty's distribution, linear and root pacing; preset ``competence``); Wu et al.
    2021, arXiv 2012.03107, table 2 (the other pacings).

    Differences: time is counted in proposals. Over a box the share is one of the uniform
    distribution over the unit cube; over levels, of those that the space samples. Over examples
    each pass is a permutation of the open ones (the paper draws every batch anew), fixed when the
    pass begins; where the horizon is below five passes it is cut short so that the schedule keeps
    its time. The root is the p-th one for every p (public code takes the square root whatever p
    is).

    >>> from currgym import DiscreteTasks, make_teacher
    >>> space = DiscreteTasks(10, difficulty=range(10))
    >>> sorted(make_teacher("easy-to-hard", space, seed=0, start=0.3).sample(3).tolist())
    [0, 1, 2]

    Args:
        space: Box or discrete tasks, or levels, with a declared difficulty.
        seed: Of the private random generator.
        return_range: Unused: the schedule does not look at outcomes.
        pacing: ``"linear"``, ``"root"``, ``"geometric"``, ``"exponential"``, ``"logarithmic"`` or
            ``"step"``.
        start: Share open at first, in [0, 1]; above 0 for geometric pacing.
        horizon: Proposals after which everything is open, at least 1; default 10 passes over a
            discrete space, 10,000 otherwise.
        power: Of root pacing, above 0; below 1 it starts slowly.
        steps: Jumps of step pacing, at least 1.

    Raises:
        ValueError: If the space declares no difficulty, or a value is out of its range.
    """
