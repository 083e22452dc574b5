"""Prioritised level replay: play again the levels from which most is to be learnt."""

from __future__ import annotations

from currgym.tasks import TaskSpace
from currgym.teachers._replay import Prioritisation, ReplayTeacher, Score
from currgym.teaching import register

__all__ = ["PLR"]


@register(
    "plr",
    presets={
        # Training on replays alone, new levels being scored without it.
        "robust": {"robust": True, "score": "maxmc", "temperature": 0.3, "staleness": 0.3},
        "robust-pvl": {"robust": True, "score": "pvl", "temperature": 0.3, "staleness": 0.3},
    },
)  # fmt: skip
class PLR(ReplayTeacher):
    """Replay known levels by the student's value loss on them, and find new ones at random.

    A level is a task and the seed of its episode. Each attempt on it leaves a score; the highest
    ``capacity`` scores are kept. Of the proposals a share ``replay_rate`` is drawn from the store,
    with probability ``(1 - staleness) P_S + staleness P_C``: ``P_S`` is proportional to
    ``h(score) ** (1 / temperature)`` with ``h`` one over the rank (or the score itself), ``P_C`` to
    the time since the level was last drawn. The rest are new levels.

    The robust form (preset ``robust``) trains on replays only: new levels are *requests*, attempts
    from which nothing is learnt, ``(1 - replay_rate) / replay_rate`` to a proposal.

    Source: Jiang, Grefenstette, Rocktäschel, "Prioritized Level Replay", ICML 2021,
    https://arxiv.org/abs/2010.03934 (scores by absolute advantage and one-step error, rank and
    proportional prioritisation, staleness: the defaults); Jiang et al., "Replay-Guided Adversarial
    Environment Design", NeurIPS 2021, https://arxiv.org/abs/2110.02439 (the robust form, positive
    value loss and maximum Monte Carlo).

    Differences: with a first batch of environments the robust form has nothing to replay yet, so
    these few first levels are new ones; equal scores share what their ranks get together (told
    apart by position, one level would be replayed for ever where all are alike); replay begins
    after ``warmup`` levels, a hundred, and not when the store is half full, which is 2,000 episodes
    (``warmup=2000`` is the second paper's); a new level that is known already is drawn again.

    Args:
        space: Any: boxes, numbered tasks, levels.
        seed: Of the private random generator.
        return_range: Unused: scores are taken as they are.
        score: What makes a level worth replaying: ``"abs_advantage"``, ``"pvl"``, ``"maxmc"`` or
            ``"td"`` from the student's value estimates (see :mod:`currgym.scores`), or
            ``"true_regret"``, which only an environment with a solver tells.
        robust: Whether students train on replayed levels only.
        replay_rate: Share of replays, in (0, 1].
        capacity: Levels kept, at least 1.
        warmup: Levels known before replay begins, at least 1.
        prioritisation: ``"rank"`` or ``"proportional"`` to the score.
        temperature: Above 0; the lower, the more the highest scores are preferred.
        staleness: Share of replays by staleness, in [0, 1].
        fixed_seeds: Whether a level is a task with its seed, replayed with both; None: everywhere
            but on spaces of levels, which say all themselves.

    >>> from currgym import BoxTasks, Outcomes, make_teacher
    >>> teacher = make_teacher("plr", BoxTasks([0], [1]), seed=0, warmup=2, replay_rate=1.0)
    >>> first = teacher.propose(2)
    >>> scores = {"abs_advantage": [0.0, 1.0]}
    >>> teacher.update(Outcomes(first.tasks, [0, 0], seeds=first.seeds, scores=scores))
    >>> teacher.chances().round(3).tolist()
    [0.051, 0.949]
    """

    def __init__(
        self,
        space: TaskSpace,
        *,
        seed: int | None = None,
        return_range: tuple[float, float] | None = None,
        score: Score = "abs_advantage",
        robust: bool = False,
        replay_rate: float = 0.5,
        capacity: int = 4000,
        warmup: int = 100,
        prioritisation: Prioritisation = "rank",
        temperature: float = 0.1,
        staleness: float = 0.1,
        fixed_seeds: bool | None = None,
    ) -> None:
        super().__init__(
            space, seed=seed, return_range=return_range, score=score, robust=robust,
            replay_rate=replay_rate, capacity=capacity, warmup=warmup,
            prioritisation=prioritisation, temperature=temperature, staleness=staleness,
            fixed_seeds=fixed_seeds,
        )  # fmt: skip
