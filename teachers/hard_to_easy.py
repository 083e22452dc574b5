"""Hard to easy: the open share of the space grows from its hard end."""

from __future__ import annotations

from currgym.teachers._paced import PacedTeacher
from currgym.teaching import register

__all__ = ["HardToEasy"]


@register("hard-to-easy")
class HardToEasy(PacedTeacher):
    """Draw uniformly from the hardest share of the space, which grows by a pacing function.

    Source: the anti-curriculum of Wu et al. 2021, arXiv 2012.03107, section 3: the control that
    shows whether an ordering helps because of its direction.

    Differences: as in ``easy-to-hard``, of which this is the mirror.

    >>> from currgym import DiscreteTasks, make_teacher
    >>> space = DiscreteTasks(10, difficulty=range(10))
    >>> sorted(make_teacher("hard-to-easy", space, seed=0, start=0.3).sample(3).tolist())
    [7, 8, 9]

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

    from_the_hard_end = True
