"""A training loop's own stack of environments: is the curriculum where it can do its work?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Curriculum, Tickets
from currgym.doctor.findings import Finding
from currgym.outcomes import Outcomes

__all__ = ["loop_checks"]

STEPS = 3000
EPISODES = 12
CANCELLED_SHARE = 0.2
_NORMALISER = (
    "put the normaliser on top of the curriculum, never below: VecNormalize(currgym.sb3.wrap(...))"
)


Attempt = Callable[[], "Finding | None"]


def loop_checks(train: Any, evaluation: Any = None) -> dict[str, tuple[str, Attempt]]:
    """Return the checks of a stack: name -> what is looked at, and how.

    Args:
        train: What the algorithm is given: an SB3 ``VecEnv`` or a Gymnasium ``VectorEnv``, with a
            curriculum somewhere in it.
        evaluation: The same for evaluation, or None.
    """
    stack = list(_stack(train))
    held = {i: c for i, layer in enumerate(stack) if (c := _curriculum(layer)) is not None}
    if not held:
        return {"outcomes": ("there is a curriculum in the stack", lambda: _no_curriculum(stack))}
    place = min(held)
    curriculum = held[place]
    checks: dict[str, tuple[str, Attempt]] = {
        "normaliser": ("nothing below the curriculum normalises", lambda: _below(stack[place:])),
        "outcomes": ("outcomes reach the teacher", lambda: _recount(train, curriculum)),
    }
    if evaluation is not None:
        checks["evaluation"] = (
            "evaluation is frozen, raw, and kept from the teacher",
            lambda: _evaluation(evaluation, curriculum),
        )
    return checks


def _no_curriculum(stack: list[Any]) -> Finding:
    names = ", ".join(type(layer).__name__ for layer in stack)
    return Finding(
        "outcomes", "looked for the curriculum in the stack", f"there is none: {names}",
        "train on what currgym.sb3.wrap(...) or currgym.CurriculumVectorEnv(...) returns",
    )  # fmt: skip


def _stack(env: Any) -> Iterator[Any]:
    """Yield the layers of a stack, outermost first, those of the first sub-environment last."""
    seen: set[int] = set()
    while env is not None and id(env) not in seen:
        seen.add(id(env))
        yield env
        inner = [getattr(env, name, None) for name in ("venv", "core", "env")]
        following = next((layer for layer in inner if layer is not None), None)
        if following is None and getattr(env, "envs", None):
            following = env.envs[0]
        env = following


def _curriculum(layer: Any) -> Curriculum | None:
    found = vars(layer).get("curriculum") or getattr(vars(layer).get("core"), "curriculum", None)
    return found if isinstance(found, Curriculum) else None


def _normalises(layer: Any) -> bool:
    return type(layer).__name__ in ("VecNormalize", "NormalizeReward", "NormalizeObservation")


def _below(layers: list[Any]) -> Finding | None:
    """Look for normalisers between the curriculum and the physics."""
    for layer in layers:
        if _normalises(layer):
            return Finding(
                "normaliser", "looked at what lies below the curriculum",
                f"{type(layer).__name__}: the teacher sees scaled returns, which mean something "
                "else every day",
                _NORMALISER,
            )  # fmt: skip
    return None


@dataclass
class _Heard:
    """Listens to a curriculum in the place of a run's recorder."""

    outcomes: int = 0

    def issued(self, tickets: Tickets, probe: bool) -> None:
        pass

    def settled(self, outcomes: Outcomes, envs: NDArray[np.int64], step: int) -> None:
        self.outcomes += len(outcomes)


def _recount(train: Any, curriculum: Curriculum) -> Finding | None:
    """Step the stack at random, and compare the ends of episodes with what the teacher hears."""
    tried = "stepped the stack with random actions and recounted what reached the teacher"
    told: list[int] = []
    teacher: Any = curriculum.teacher
    update = teacher.update

    def spy(outcomes: Outcomes) -> Any:
        told.append(len(outcomes))
        return update(outcomes)

    heard, recorder = _Heard(), curriculum.recorder
    curriculum.recorder, teacher.update = heard, spy
    before = curriculum.ledger.cancelled
    try:
        ends = _step(train)
    finally:
        curriculum.recorder = recorder
        teacher.update = update
    cancelled = curriculum.ledger.cancelled - before
    remedy = "report every episode, once, when it ends: let the curriculum see every step and reset"
    if ends and sum(told) < ends - _width(train):
        return Finding(
            "outcomes", tried,
            f"{ends} episodes ended and {sum(told)} outcomes reached the teacher", remedy,
        )  # fmt: skip
    if cancelled > CANCELLED_SHARE * (cancelled + heard.outcomes) and cancelled > _width(train):
        return Finding(
            "outcomes", tried,
            f"{cancelled} episodes were broken off from outside and {heard.outcomes} came to an "
            "end: the teacher hears nothing of the former",
            "put time limits inside the environment, where they end an episode, and not around the "
            "curriculum, where a reset throws it away",
        )  # fmt: skip
    return None


def _width(env: Any) -> int:
    return int(env.num_envs)


def _step(env: Any) -> int:
    """Step at random; return how many episodes ended, as the outermost layer tells it."""
    ends = 0
    space = getattr(env, "single_action_space", env.action_space)
    space.seed(0)
    gymnasium_form = hasattr(env, "single_action_space")
    env.reset()
    for _ in range(STEPS):
        actions = np.array([space.sample() for _ in range(_width(env))])
        if gymnasium_form:
            _, _, terminated, truncated, _ = env.step(actions)
            done = np.asarray(terminated) | np.asarray(truncated)
        else:
            _, _, done, _ = env.step(actions)
        ends += int(np.sum(done))
        if ends >= EPISODES:
            break
    return ends


def _evaluation(evaluation: Any, curriculum: Curriculum) -> Finding | None:
    """Look whether evaluation is frozen, raw, and kept from the teacher."""
    tried = "looked at the evaluation stack"
    for layer in _stack(evaluation):
        if _curriculum(layer) is curriculum:
            return Finding(
                "evaluation", tried, "it shares the training's curriculum: test outcomes would "
                "reach the teacher, and the teacher would choose what is tested",
                "evaluate on fixed tasks, in its own environments: reset(options={'task': ...})",
            )  # fmt: skip
        moving = getattr(layer, "training", None), getattr(layer, "update_running_mean", None)
        if _normalises(layer) and True in moving:
            return Finding(
                "evaluation", tried, f"{type(layer).__name__} goes on adapting in it",
                "freeze it: training=False (or update_running_mean=False), with the statistics of "
                "training",
            )  # fmt: skip
        if getattr(layer, "norm_reward", False) is True:
            return Finding(
                "evaluation", tried, f"{type(layer).__name__} scales its rewards",
                "norm_reward=False: results are raw returns",
            )  # fmt: skip
    return None
