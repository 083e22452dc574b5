"""Checks that need no contract: what an environment does when it is simply used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

from currgym.doctor.findings import Finding
from currgym.doctor.subject import Episode, Subject
from currgym.tasks import BoxTasks, TaskSpace
from currgym.testing import Policy

__all__ = ["Sample", "sample_of"]

SAMPLED = 35
SAMPLE_STEPS = 12_000
SOME_OUTSIDE, MOST_OUTSIDE = 0.05, 0.5
SLACK = 0.1
"""Share of the return range by which a return may miss it: ranges are round numbers."""
ALWAYS = 0.98
LEVELS, CHOOSING = 20, 5
PATIENCE = 300
"""Steps after which a task is valued by what it gave so far."""
REVERSED = 0.2
"""Least superiority (area under the ROC curve below this) of hard tasks that counts as reversed."""
RELEVANT = 0.05
"""Share of the spread of returns that a reversed difference must have."""


def opens(subject: Subject) -> Finding | None:
    """Build it, reset it, step it."""
    tried = "built it, reset it with a seed and took one random action"
    try:
        with subject.env() as env:
            observation, _ = env.reset(seed=0)
            env.step(env.action_space.sample())
            gymnasium.spaces.utils.flatten(env.observation_space, observation)
    except NotImplementedError as error:
        return Finding(
            "opens", tried, f"its observations cannot be put in an array: {error}",
            "wrap it so that they can (minigrid.wrappers.FlatObsWrapper for MiniGrid)",
        )  # fmt: skip
    except Exception as error:
        # Whatever somebody's environment raises is what was seen.
        return Finding(
            "opens", tried, f"{type(error).__name__}: {error}",
            "mend that first: nothing else could be examined",
        )  # fmt: skip
    return None


def has_tasks(subject: Subject) -> Finding | None:
    """Look for a task space; without one, say how to give it one."""
    with subject.env() as env:
        if subject.space(env) is not None:
            return None
        found = _numbers_of(env)
        low_high = {name: sorted((0.5 * value, 2.0 * value)) for name, value in found.items()}
    shown = ", ".join(f"{name} = {value:g}" for name, value in found.items())
    names = list(low_high)[:2] or ["my_parameter"]
    ends = [low_high.get(name, [0.0, 1.0]) for name in names]
    body = "\n".join(f'    env.unwrapped.{name} = task["{name}"]' for name in names)
    return Finding(
        "task-space",
        "asked for its task_space",
        "it declares none: its episodes are all alike, so there is nothing to choose"
        + (f". Numbers in it that a task could set: {shown}" if shown else ""),
        "say what varies, how far, and how it is set, in a module of your own, and pass "
        "--wrap MODULE:wrap:\n"
        "def apply(env, task):\n"
        f"{body}\n"
        "def wrap(env):\n"
        "    return currgym.ParameterizedEnv(env, currgym.BoxTasks("
        f"{[e[0] for e in ends]}, {[e[1] for e in ends]}, names={names}), apply,\n"
        "        mastery=..., return_range=(..., ...))",
    )


def _numbers_of(env: gymnasium.Env[Any, Any]) -> dict[str, float]:
    """Return plain positive or negative numbers among an environment's attributes."""
    found = {}
    for name, value in vars(env.unwrapped).items():
        if name.startswith("_") or isinstance(value, (bool, np.bool_)):
            continue
        if isinstance(value, (float, np.floating)) and value != 0.0 and math.isfinite(value):
            found[name] = float(value)
    return dict(list(found.items())[:12])


def layers(env: Any) -> list[Any]:
    """Return the wrappers of an environment, outermost first, itself last."""
    found = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return found


def resets_itself(subject: Subject) -> Finding | None:
    """Look whether episodes end where they should: with a reset that somebody asked for."""
    tried = "played an episode to its end and looked who begins the next one"
    remedy = (
        "let the vector environment do it (gymnasium.make_vec): an episode that begins by itself "
        "has no task of the teacher's"
    )
    with subject.env() as env:
        for layer in layers(env):
            if isinstance(layer, wrappers.Autoreset):
                return Finding("resets-itself", tried, "gymnasium's Autoreset is in it", remedy)
        episode = subject.play(env, None, 0, None)
        for name in ("final_obs", "final_observation", "terminal_observation"):
            if name in episode.info:
                seen = f"the last step's info has {name!r}: it has begun another episode"
                return Finding("resets-itself", tried, seen, remedy)
    return None


def applies_in_time(subject: Subject) -> Finding | None:
    """Look whether a task acts on the episode it was asked for, or on the next one."""
    case = subject.case()
    with subject.env() as env:
        space = subject.space(env)
        if not isinstance(space, BoxTasks):
            return None
        # Not the ends, which may break it: that is another finding.
        low, high = space.from_unit(np.full((2, space.unit_dim), [[0.1], [0.9]]))
        pairs = [(low, high), (high, low), tuple(case.tasks(2, env))]

    def second(first: Any, then: Any) -> NDArray[np.float64]:
        """Return the second episode of a fresh environment."""
        with subject.env() as env:
            case.rollout(env, first, seed=5, steps=5)
            return case.rollout(env, then, seed=6)

    for a, b in pairs:
        stale, told, right = second(a, a), second(a, b), second(b, b)
        if np.array_equal(stale, told) and not np.array_equal(told, right):
            return Finding(
                "task-late",
                "asked for one task, then for another, and compared both episodes with fresh ones",
                "the second episode was played with the first one's task",
                "apply the task before the inner reset: what reset builds must see it",
            )
    return None


def normalises(subject: Subject) -> Finding | None:
    """Look for running statistics that change what the same episode gives."""
    tried = "looked at the wrappers, and played the same episode twice, other episodes in between"
    remedy = (
        "leave normalisation to the student, where it is saved, frozen in evaluation, and out of "
        "the teacher's sight: VecNormalize on top of currgym.sb3.wrap(...), or normalize= of a run"
    )
    running = (wrappers.NormalizeReward, wrappers.NormalizeObservation)
    case = subject.case()
    with subject.env() as env:
        for layer in layers(env):
            if isinstance(layer, running):
                seen = (
                    f"{type(layer).__name__} is in it: teachers and evaluations see scaled values"
                )
                return Finding("normaliser", tried, seen, remedy)
        task = case.tasks(1, env)[0]
        first = case.rollout(env, task, seed=7)
        for seed in (8, 9):
            case.rollout(env, task, seed=seed, actions_seed=seed)
        again = case.rollout(env, task, seed=7)
    if first.shape != again.shape:
        return None  # history of another kind
    same_world = np.array_equal(first[:, :-3], again[:, :-3])
    if same_world and not np.array_equal(first[:, -3], again[:, -3]):
        step = int(np.argmax(first[:, -3] != again[:, -3]))
        seen = (
            "the same observations came with other rewards the second time (step "
            f"{step}: {first[step, -3]:.4g}, then {again[step, -3]:.4g})"
        )
        return Finding("normaliser", tried, seen, remedy)
    return None


# What a sample of episodes shows -----------------------------------------------------------------


@dataclass
class Sample:
    """Episodes on tasks all over the space, under several policies.

    Attributes:
        episodes: As played.
        return_range: As declared, or None.
        mastery: As declared, or None.
        limit: Steps after which an episode counts as one that never ends.
    """

    episodes: list[Episode]
    return_range: tuple[float, float] | None
    mastery: float | None
    limit: int

    @property
    def ended(self) -> list[Episode]:
        """Episodes that came to an end."""
        return [episode for episode in self.episodes if episode.ended]

    def spread(self) -> float:
        """Return how far apart the returns were, the worst and best twentieth left out."""
        totals = [e.total for e in self.episodes if math.isfinite(e.total)]
        return float(np.ptp(np.quantile(totals, [0.05, 0.95]))) if totals else 0.0


def sample_of(subject: Subject) -> Sample:
    """Play tasks drawn from the whole space under each policy in turn."""
    with subject.env() as env:
        space = subject.space(env)
        assert space is not None

        def ask(name: str) -> Any:
            return env.get_wrapper_attr(name) if env.has_wrapper_attr(name) else None

        tasks = space.sample(SAMPLED, np.random.default_rng(23))
        policies, limit = subject.policies, subject.limit(env)
        episodes: list[Episode] = []
        for i, task in enumerate(tasks):
            spent = sum(e.length for e in episodes)
            if i >= 8 and spent > SAMPLE_STEPS:
                break
            episodes.append(subject.play(env, task, 100 + i, policies[i % len(policies)], limit))
            if i >= 3 and not any(e.ended for e in episodes):
                break
        known = ask("return_range")
        mastery = ask("mastery")
    return Sample(
        episodes,
        None if known is None else (float(known[0]), float(known[1])),
        None if mastery is None else float(mastery),
        limit,
    )


_PLAYED = "played tasks from all over the space, at random and by linear policies"


def end(sample: Sample) -> Finding | None:
    """Episodes end."""
    if sample.ended:
        return None
    return Finding(
        "episodes-end", _PLAYED,
        f"none of {len(sample.episodes)} episodes ended within {sample.limit:,} steps",
        "give it a time limit: gymnasium.wrappers.TimeLimit, or max_episode_steps= when it is "
        "registered. A teacher hears of finished episodes only",
    )  # fmt: skip


def finite(sample: Sample) -> Finding | None:
    """Returns are numbers."""
    for episode in sample.episodes:
        if not math.isfinite(episode.total):
            return Finding(
                "finite-returns", _PLAYED,
                f"the return on task {episode.task} was {episode.total}",
                "look for a division by zero or an overflow in the reward",
            )  # fmt: skip
    return None


def within_range(sample: Sample) -> Finding | None:
    """Returns lie in the declared range, which is there."""
    if sample.return_range is None:
        return Finding(
            "return-range-missing", "asked for its return_range",
            "it declares none: teachers estimate it as they go, from the 5 and 95 % quantiles",
            "pass return_range=(low, high): the worst and the best that an episode can give",
            serious=False,
        )  # fmt: skip
    low, high = sample.return_range
    slack = SLACK * (high - low)
    totals = np.array([e.total for e in sample.ended])
    outside = (totals < low - slack) | (totals > high + slack)
    if outside.mean() <= SOME_OUTSIDE:
        return None
    return Finding(
        "return-range", _PLAYED,
        f"{outside.mean():.0%} of the returns lie outside the declared range ({low:g}, {high:g}): "
        f"they go from {totals.min():.4g} to {totals.max():.4g}",
        "declare the range of raw returns of whole episodes: what lies outside is cut off, and a "
        "teacher sees no progress there",
        # Below the range lies what no student does for long.
        serious=bool(outside.mean() > MOST_OUTSIDE),
    )  # fmt: skip


def tells_success(sample: Sample) -> Finding | None:
    """Something says what success is, and says it well."""
    tried = "looked at info['success'] at the end of each episode, and at mastery"
    values = [e.info.get("success") for e in sample.ended]
    if any(v is None for v in values):
        return Finding(
            "success", tried,
            f"{sum(v is None for v in values)} of {len(values)} episodes ended without "
            "info['success']",
            "pass mastery= (the return above which a task counts as solved) or success= to "
            "currgym.ParameterizedEnv",
        )  # fmt: skip
    try:
        shares = np.array([float(v) for v in values if v is not None])
    except (TypeError, ValueError):
        shares = np.array([np.nan])
    if not ((shares >= 0.0) & (shares <= 1.0)).all():
        return Finding(
            "success-range", tried, f"it was {values[int(np.argmax(~(shares <= 1.0)))]!r}",
            "make it True, False, or a share in [0, 1]",
        )  # fmt: skip
    if sample.mastery is not None and sample.return_range is not None:
        low, high = sample.return_range
        if not low <= sample.mastery < high:
            return Finding(
                "mastery", tried,
                f"mastery is {sample.mastery:g}, and returns go from {low:g} to {high:g}: "
                f"{'no' if sample.mastery >= high else 'every'} task will ever count as mastered",
                "choose a mastery inside the return range",
            )  # fmt: skip
    if len(shares) >= 20 and shares.mean() >= ALWAYS:
        return Finding(
            "too-easy", tried,
            f"random and linear policies succeed in {shares.mean():.0%} of the episodes",
            "raise mastery, or widen the space to tasks that must be learnt: there is nothing to "
            "order here",
        )  # fmt: skip
    return None


def time_limit_ends(sample: Sample) -> Finding | None:
    """A time limit truncates; it does not terminate."""
    over = [e for e in sample.ended if e.terminated]
    if len(over) < 8:
        return None
    longest = max(e.length for e in sample.ended)
    at_limit = [e for e in over if e.length == longest]
    if longest < 10 or len(at_limit) < max(3, 0.1 * len(over)):
        return None
    return Finding(
        "time-limit", _PLAYED,
        f"{len(at_limit)} episodes of {len(over)} ended at exactly {longest} steps, the longest "
        "of all, as terminated=True: that is a time limit",
        "return truncated=True there. A student that takes it for an end learns that nothing "
        "follows (Pardo et al. 2018, arXiv:1712.00378)",
    )  # fmt: skip


def time_outs_may_succeed(sample: Sample) -> Finding | None:
    """Running out of time is a failure only on purpose."""
    if sample.mastery is None:
        return None
    good = [e for e in sample.ended if e.truncated and not e.terminated]
    good = [e for e in good if e.total > sample.mastery and "success" in e.info]
    failed = [e for e in good if float(e.info["success"]) == 0.0]
    if not failed:
        return None
    return Finding(
        "time-outs", _PLAYED,
        f"{len(failed)} episodes ran out of time with a return above mastery "
        f"({failed[0].total:.4g} above {sample.mastery:g}) and were called failures",
        "if surviving is the task, let success= (or mastery) say so; if not, mastery is too low",
    )  # fmt: skip


def difficulty_rises(subject: Subject, sample: Sample) -> Finding | None:
    """Declared difficulty is not the wrong way round.

    What a task is worth to the best of a few guessed policies stands for what a student can do
    there. Each end's policy is chosen on some tasks and valued on others, so that luck in choosing
    does not count.
    """
    from scipy import stats

    with subject.env() as env:
        space = subject.space(env)
        if space is None or not _has_difficulty(space):
            return None
        pool = space.sample(400, np.random.default_rng(29))
        order = np.argsort(space.difficulty_of(pool), kind="stable")
        easy, hard = pool[order[: LEVELS + CHOOSING]], pool[order[-LEVELS - CHOOSING :]]
        if space.difficulty_of(easy).max() >= space.difficulty_of(hard).min():
            return None
        policies = [subject.policy] if subject.policy is not None else subject.policies
        returns = [_of_the_best(subject, env, tasks, policies) for tasks in (easy, hard)]
    test: Any = stats.mannwhitneyu(*returns, alternative="less")
    area = float(test.statistic) / LEVELS**2
    means = [float(np.mean(r)) for r in returns]
    relevant = means[1] - means[0] > RELEVANT * sample.spread()
    if not (test.pvalue < 1e-4 and area < REVERSED and relevant):
        return None
    return Finding(
        "difficulty",
        f"played the {LEVELS} easiest and the {LEVELS} hardest of 400 tasks, by declared "
        "difficulty, each with the best of a few guessed policies",
        f"the hard ones gave {means[1]:.4g} on average, the easy ones {means[0]:.4g}: higher "
        "difficulty should be harder",
        "turn its sign ('-name' or a negative weight), or leave it out: only schedules need it. If "
        "it is right for a skilled student, pass --policy MODULE:FUNCTION",
    )


def _of_the_best(
    subject: Subject,
    env: gymnasium.Env[Any, Any],
    tasks: NDArray[Any],
    policies: Sequence[Policy | None],
) -> list[float]:
    """Return the returns on the last tasks of the policy that is best on the first."""
    limit = min(subject.limit(env), PATIENCE)
    # Spread over the levels rather than the first of them.
    rng = np.random.default_rng(31)
    tasks = tasks[rng.permutation(len(tasks))]

    def play(policy: Policy | None, chosen: NDArray[Any], seed: int) -> list[float]:
        return [
            subject.play(env, task, seed + i, policy, limit).total for i, task in enumerate(chosen)
        ]

    best = policies[0]
    if len(policies) > 1:
        best = max(policies, key=lambda policy: np.mean(play(policy, tasks[:CHOOSING], 300)))
    return play(best, tasks[CHOOSING:], 400)


def _has_difficulty(space: TaskSpace) -> bool:
    try:
        space.difficulty_of(space.sample(2, np.random.default_rng(0)))
    except ValueError:
        return False
    return True


SampleCheck = Callable[[Sample], "Finding | None"]
SAMPLE_CHECKS: dict[str, tuple[SampleCheck, str]] = {
    "episodes-end": (end, "episodes end"),
    "finite-returns": (finite, "returns are finite"),
    "return-range": (within_range, "returns lie in return_range"),
    "success": (tells_success, "success is told, reachable, and not given away"),
    "time-limit": (time_limit_ends, "a time limit truncates and does not terminate"),
    "time-outs": (time_outs_may_succeed, "time-outs are not failures by accident"),
}
SubjectCheck = Callable[[Subject], "Finding | None"]
FIRST: dict[str, tuple[SubjectCheck, str]] = {
    "opens": (opens, "it can be built, reset and stepped"),
    "task-space": (has_tasks, "it declares its tasks"),
}
BEFORE: dict[str, tuple[SubjectCheck, str]] = {
    "resets-itself": (resets_itself, "it waits for a reset"),
    "task-late": (applies_in_time, "a task acts on the episode it was asked for"),
    "normaliser": (normalises, "rewards and observations do not drift"),
}
"""Checks for faults that would break several sentences of the contract at once."""
