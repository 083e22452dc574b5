"""What is examined: an environment that can be built again and again, and ways to act in it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from currgym.tasks import TaskSpace
from currgym.testing import EnvCase, Policy

__all__ = ["Episode", "Subject", "imported", "linear_policies", "subject_of"]

Env = gymnasium.Env[Any, Any]
LONGEST = 10_000
COMPARED = 120
LINEAR = 6


@dataclass
class Episode:
    """One episode, played to its end or to the limit.

    Attributes:
        task: What was asked for.
        total: Sum of rewards.
        length: Steps.
        terminated: As the last step said.
        truncated: As the last step said; both False where the limit came first.
        info: Of the last step.
    """

    task: Any
    total: float
    length: int
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether it came to an end."""
        return self.terminated or self.truncated


@dataclass
class Subject:
    """An environment under examination.

    Attributes:
        name: For messages.
        make: Builds a fresh one.
        policy: Observation -> action, if the user knows a good one.
        steps: Longest trajectory that is compared.
    """

    name: str
    make: Callable[[], Env]
    policy: Policy | None = None
    steps: int = COMPARED
    _policies: list[Policy] | None = field(default=None, repr=False)

    @contextmanager
    def env(self) -> Iterator[Env]:
        """Build one, and close it afterwards."""
        env = self.make()
        try:
            yield env
        finally:
            env.close()

    def case(self, policy: Policy | None = None, steps: int | None = None) -> EnvCase:
        """Return it in the form of the conformance checks."""
        return EnvCase(
            self.name, lambda **_: self.make(), steps or self.steps, policy or self.policy
        )

    def space(self, env: Env) -> TaskSpace | None:
        """Return its task space, or None where it declares none."""
        if not env.has_wrapper_attr("task_space"):
            return None
        space = env.get_wrapper_attr("task_space")
        return space if isinstance(space, TaskSpace) else None

    def limit(self, env: Env) -> int:
        """Return after how many steps an episode counts as one that never ends."""
        return (env.spec.max_episode_steps if env.spec is not None else None) or LONGEST

    @property
    def policies(self) -> Sequence[Policy | None]:
        """The user's policy, random actions (None), and a few linear policies."""
        if self._policies is None:
            with self.env() as env:
                self._policies = linear_policies(env, LINEAR)
        return [*([self.policy] if self.policy is not None else []), None, *self._policies]

    def play(
        self, env: Env, task: Any, seed: int, policy: Policy | None, limit: int | None = None
    ) -> Episode:
        """Play one episode."""
        observation, _ = env.reset(seed=seed, options=None if task is None else {"task": task})
        actions = np.random.default_rng(seed)
        env.action_space.seed(int(actions.integers(2**31)))
        total, length, terminated, truncated = 0.0, 0, False, False
        info: Mapping[str, Any] = {}
        while not (terminated or truncated) and length < (limit or self.limit(env)):
            action = env.action_space.sample() if policy is None else policy(observation)
            observation, reward, terminated, truncated, info = env.step(action)
            total += float(reward)
            length += 1
        return Episode(task, total, length, bool(terminated), bool(truncated), info)


def linear_policies(env: Env, count: int) -> list[Policy]:
    """Return random linear policies on observations scaled by what random actions meet.

    They reach what random actions do not: a few of them swing up, balance or run (Oller et al.
    2020, arXiv:2004.07707, solve Gymnasium's classics by guessing weights). None for spaces that
    are no arrays.
    """
    observation, _ = env.reset(seed=0)
    space, actions = env.observation_space, env.action_space
    if not isinstance(observation, np.ndarray) or observation.ndim != 1:
        return []
    if not isinstance(actions, (gymnasium.spaces.Discrete, gymnasium.spaces.Box)):
        return []
    actions.seed(0)
    met = [observation]
    for _ in range(200):
        observation, _, terminated, truncated, _ = env.step(actions.sample())
        met.append(observation)
        if terminated or truncated:
            observation, _ = env.reset()
            met.append(observation)
    seen = np.asarray(met, dtype=np.float64)
    middle, width = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    rng = np.random.default_rng(0)
    del space
    if isinstance(actions, gymnasium.spaces.Discrete):
        outputs = int(actions.n)
    else:
        outputs = int(np.prod(actions.shape))
    made: list[Policy] = []
    for _ in range(count):
        weights = rng.normal(size=(outputs, seen.shape[1]))
        made.append(_linear(weights, middle, width, actions))
    return made


def _linear(
    weights: NDArray[np.float64],
    middle: NDArray[np.float64],
    width: NDArray[np.float64],
    actions: gymnasium.spaces.Discrete | gymnasium.spaces.Box,
) -> Policy:
    def act(observation: Any) -> Any:
        wish = weights @ ((np.asarray(observation, dtype=np.float64) - middle) / width)
        if isinstance(actions, gymnasium.spaces.Discrete):
            return int(np.argmax(wish)) + int(actions.start)
        low = np.where(np.isfinite(actions.low), actions.low, -1.0)
        high = np.where(np.isfinite(actions.high), actions.high, 1.0)
        share = 0.5 * (1.0 + np.tanh(wish)).reshape(actions.shape)
        return (low + share * (high - low)).astype(actions.dtype)

    return act


def imported(name: str, option: str) -> Any:
    """Return what ``module:name`` names.

    Raises:
        ValueError: If it is written otherwise, or there is no such thing.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise ValueError(f"{option} is written MODULE:NAME, got {name!r}")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{option} {name}: {error}") from None
    return found


def subject_of(
    env: str | Callable[[], Env],
    arguments: Mapping[str, Any] | None = None,
    wrap: Callable[..., Env] | None = None,
    policy: Policy | None = None,
    steps: int = COMPARED,
) -> Subject:
    """Return what is to be examined.

    Args:
        env: An id, with or without ``currgym/``, or a function that builds one.
        arguments: Keyword arguments of the environment.
        wrap: Called with each environment that was built; returns it with tasks.
        policy: Observation -> action that comes to interesting places.
        steps: Longest trajectory that is compared.
    """
    kwargs = dict(arguments or {})
    if isinstance(env, str):
        from currgym.runs.config import environment_id

        known = environment_id(env)
        name = known

        def build() -> Env:
            return gymnasium.make(known, disable_env_checker=True, **kwargs)
    else:
        name, function = getattr(env, "__name__", repr(env)), env

        def build() -> Env:
            return function(**kwargs)

    if wrap is None:
        return Subject(name, build, policy, steps)
    takes_env = bool(inspect.signature(wrap).parameters)

    def build_wrapped() -> Env:
        return wrap(build()) if takes_env else wrap()

    return Subject(f"{name} in {wrap.__name__}", build_wrapped, policy, steps)
