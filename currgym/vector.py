"""A curriculum over Gymnasium's vector environments: sync, async and native, all autoreset modes.

Vector environments reset their sub-environments bare, so a task cannot travel in ``options``. It
is put beforehand where the sub-environment's own reset finds it (its ``queued`` attribute, or the
``queue`` method of a native vector environment), and ``info["task"]`` of every reset is compared
with what was put there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from numpy.typing import ArrayLike, NDArray

from currgym.curriculum import Curriculum, Ledger, Tickets
from currgym.outcomes import Outcomes
from currgym.scores import VALUE_SCORES, episode_scores
from currgym.tasks import TaskSpace
from currgym.teaching import Teacher, TeacherLike, make_teacher
from currgym.workers import TROUBLE, end_workers, limit_waiting

__all__ = ["CurriculumVectorEnv", "Finished", "declared", "stack", "task_space"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
State = dict[str, Any]

_FROM_VALUES = VALUE_SCORES | {"initial_values"}
_WHOLE = frozenset({0.0, 1.0})
_BOOL = np.dtype(np.bool_)
_COLUMNS = frozenset(
    {"returns", "ids", "seeds", "lengths", "successes", "discounted", "terminated", "truncated"}
)


# What an environment declares ------------------------------------------------------------------


class Declared(NamedTuple):
    """What an environment says about its tasks.

    Attributes:
        task_space: What tasks there are.
        return_range: Returns that teachers see as 0 and 1; None where it declares none.
        mastery: Return above which a task counts as mastered; None where it declares none.
        scores: Names of numbers in ``info`` that teachers may need as scores.
    """

    task_space: TaskSpace
    return_range: tuple[float, float] | None
    mastery: float | None
    scores: frozenset[str] = frozenset()


def declared(env: Any) -> Declared:
    """Return what a single, vector or Stable-Baselines3 environment declares about its tasks.

    Raises:
        TypeError: If it declares no ``task_space``.
    """
    look, close = _lookup(env)
    try:
        space = look("task_space")
        if not isinstance(space, TaskSpace):
            raise TypeError(
                f"{env} declares no task_space, so there is nothing to teach: use one of `currgym "
                "list envs`, or wrap yours in currgym.ParameterizedEnv"
            )
        low_high, mastery, scores = look("return_range"), look("mastery"), look("scores")
    finally:
        close()
    return Declared(
        space,
        None if low_high is None else (float(low_high[0]), float(low_high[1])),
        None if mastery is None else float(mastery),
        frozenset(scores or ()),
    )


def task_space(env: Any) -> TaskSpace:
    """Return the task space of a single, sync, async, native or Stable-Baselines3 environment.

    Raises:
        TypeError: If it declares none.
    """
    return declared(env).task_space


def _lookup(env: Any) -> tuple[Callable[[str], Any], Callable[[], None]]:
    """Return a function that reads an attribute (None where missing), and one to call when done."""
    single, base = env, env
    close = _nothing
    if isinstance(env, VectorEnv):
        base = env.unwrapped
        if isinstance(base, SyncVectorEnv):
            single = base.envs[0]
        elif isinstance(base, AsyncVectorEnv):
            # Asking a worker for what it lacks, or cannot pickle, would end it.
            single = base.env_fns[0]()
            close = single.close
        elif not hasattr(base, "has_attr"):
            return lambda name: getattr(base, name, None), close
    if isinstance(single, gymnasium.Env):
        return (
            lambda name: single.get_wrapper_attr(name) if single.has_wrapper_attr(name) else None
        ), close
    if hasattr(base, "get_attr") and hasattr(base, "has_attr"):  # as Stable-Baselines3 has them
        return lambda name: base.get_attr(name, 0)[0] if base.has_attr(name) else None, close
    raise TypeError(f"{env!r} is neither a Gymnasium nor a Stable-Baselines3 environment")


def _nothing() -> None:
    """Close nothing."""


# How a task reaches a sub-environment ----------------------------------------------------------


class Transport:
    """Puts the (task, seed) of the next episode where a sub-environment's bare reset finds it."""

    resets_twice = False
    """Whether a finished sub-environment is reset once more after an explicit reset."""

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        """Queue one episode for each of ``rows``."""
        raise NotImplementedError


class _Direct(Transport):
    """Sub-environments in this process: set the attribute on the object that owns it."""

    def __init__(self, envs: Sequence[gymnasium.Env[Any, Any]]) -> None:
        self.owners = [self._owner(i, env) for i, env in enumerate(envs)]

    @staticmethod
    def _owner(i: int, env: gymnasium.Env[Any, Any]) -> Any:
        node = env
        while isinstance(node, gymnasium.Wrapper):
            if isinstance(node, gymnasium.wrappers.NormalizeReward):
                raise ValueError(_NORMALISED)
            if hasattr(type(node), "queued"):
                return node
            node = node.env
        if not hasattr(node, "queued"):
            raise TypeError(_no_hook(i, node))
        return node

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        for i, task, seed in zip(rows, tasks, seeds, strict=True):
            self.owners[i].queued = (task, seed)


class _Remote(Transport):
    """Sub-environments elsewhere, reached by ``set_attr`` for all of them at once."""

    def __init__(self, vec: Any, waits: bool) -> None:
        # Setting an attribute that nobody declares would create it, and nobody would read it.
        for i, there in enumerate(vec.call("has_wrapper_attr", "queued")):
            if not there:
                raise TypeError(_no_hook(i, vec))
        self.vec = vec
        self.waits = waits
        self.resets_twice = (
            isinstance(vec, AsyncVectorEnv)
            and not vec.shared_memory
            and vec.autoreset_mode is AutoresetMode.NEXT_STEP
        )
        self.queued: list[tuple[Any, int] | None] = [None] * vec.num_envs

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        for i, task, seed in zip(rows, tasks, seeds, strict=True):
            self.queued[i] = (task, seed)
        self.vec.set_attr("queued", self.queued)
        if not self.waits:
            # The episodes begin before the next call; None means that nothing waits.
            self.queued = [None] * len(self.queued)


class _Native(Transport):
    """One object computes all sub-environments."""

    def __init__(self, vec: Any) -> None:
        self.vec = vec

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        self.vec.queue(rows, tasks, seeds)


_NORMALISED = (
    "rewards are normalised below the curriculum, and teachers need raw returns: put "
    "gymnasium.wrappers.vector.NormalizeReward on top of CurriculumVectorEnv instead"
)


def _no_hook(i: int, env: Any) -> str:
    return (
        f"sub-environment {i} ({env}) has no `queued` attribute through which a task could reach "
        "it: use one of `currgym list envs`, or wrap yours in currgym.ParameterizedEnv"
    )


def transport_to(vec: VectorEnv[Any, Any, Any], waits: bool = False) -> Transport:
    """Return how tasks reach the sub-environments of a vector environment.

    Args:
        vec: The vector environment.
        waits: A task put there may wait for longer than until the next call.

    Raises:
        TypeError: If none can reach them.
    """
    base: Any = vec.unwrapped
    own = getattr(base, "transport", None)
    if isinstance(own, Transport):
        return own
    if callable(getattr(base, "queue", None)):
        return _Native(base)
    if isinstance(base, SyncVectorEnv):
        return _Direct(base.envs)
    if callable(getattr(base, "call", None)) and callable(getattr(base, "set_attr", None)):
        return _Remote(base, waits)
    raise TypeError(
        f"{vec} computes its sub-environments at once and has no method queue(indices, tasks, "
        "seeds), so no task can reach them: use SyncVectorEnv or AsyncVectorEnv over "
        "currgym.ParameterizedEnv"
    )


def _autoreset_mode(vec: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    mode = vec.metadata.get("autoreset_mode")
    if mode is None:
        raise ValueError(f"{vec} does not say in metadata['autoreset_mode'] when it resets")
    return AutoresetMode(mode)


# The wrapper -------------------------------------------------------------------------------------

if TYPE_CHECKING:
    _Wrapper = VectorWrapper[Any, Any, Any, Any, Any]
else:  # generic only in later releases of Gymnasium
    _Wrapper = VectorWrapper


class Finished(NamedTuple):
    """The episodes that one step ended.

    Attributes:
        indices: Their sub-environments, ascending.
        outcomes: What the teacher was told.
    """

    indices: IntArray
    outcomes: Outcomes


class CurriculumVectorEnv(_Wrapper):
    """Gives every episode of a vector environment a task, and tells the teacher its outcome.

    Works with all autoreset modes. In ``NEXT_STEP`` and ``DISABLED`` the next task is drawn after
    the outcome that ended the episode has reached the teacher; in ``SAME_STEP``, where Gymnasium
    resets inside the same call, one task waits at each sub-environment. The curriculum owns tasks
    and episode seeds: a ``seed`` given to :meth:`reset` is not used.

    Args:
        vec: A vector environment whose sub-environments take tasks.
        teacher: A registered name (``"alp-gmm"``, ``"alp-gmm:corl2019"``), a teacher, or a
            :class:`currgym.Curriculum`.
        seed: Of the teacher built by name, and of the episode seeds.
        gamma: Discount of the column ``discounted`` and of the scores.
        gae_lambda: Trace parameter of the scores.
        keep_actions: Keep the actions since each last reset, for :meth:`restore`.
        provides: What your loop gives beyond outcomes: ``"probe"`` if it executes
            ``vec.curriculum.requests()`` (taken for granted where a ``Curriculum`` is given).
        step_timeout: Seconds that the workers of an ``AsyncVectorEnv`` have for a step or reset;
            they are killed then, and the error names the task. None waits for ever.
        **teacher_parameters: Passed to :func:`currgym.make_teacher`.

    Raises:
        ValueError: If the teacher needs what nobody provides.
        TypeError: If tasks cannot reach the sub-environments.

    >>> import gymnasium, currgym
    >>> vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=4)
    >>> vec = currgym.CurriculumVectorEnv(vec, "random", seed=0)
    >>> observations, infos = vec.reset()
    >>> bool((infos["task"] == vec.tickets.tasks).all())
    True
    """

    def __init__(
        self,
        vec: VectorEnv[Any, Any, Any],
        teacher: str | TeacherLike | Curriculum,
        seed: int | None = 0,
        *,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        keep_actions: bool = False,
        provides: Collection[str] = (),
        step_timeout: float | None = None,
        **teacher_parameters: Any,
    ) -> None:
        super().__init__(vec)
        limit_waiting(vec, step_timeout)
        node = vec
        while isinstance(node, VectorWrapper):
            if isinstance(node, CurriculumVectorEnv):
                raise TypeError("this vector environment has a curriculum already")
            if isinstance(node, gymnasium.wrappers.vector.NormalizeReward):
                raise ValueError(_NORMALISED)
            node = node.env
        self.task_space, return_range, self.mastery, known = declared(vec)
        if isinstance(teacher, str):
            teacher_parameters.setdefault("return_range", return_range)
            teacher = make_teacher(teacher, self.task_space, seed=seed, **teacher_parameters)
        elif teacher_parameters:
            raise TypeError(
                f"{sorted(teacher_parameters)} are for a teacher given by name, got {teacher!r}"
            )
        self.curriculum = (
            teacher if isinstance(teacher, Curriculum) else Curriculum(teacher, seed=seed)
        )
        for name, value in (("gamma", gamma), ("gae_lambda", gae_lambda)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        self.gamma, self.gae_lambda = gamma, gae_lambda
        self.keep_actions = keep_actions
        self.steps = 0
        """Calls of ``step`` that sub-environments have taken, resets not among them."""
        self.finished: Finished | None = None
        """The episodes that the last step ended, or None."""
        self.value_function: Callable[[Any], ArrayLike] | None = None
        """Estimates the values of a batch of observations where :meth:`observe` is not called."""
        owned = isinstance(teacher, Curriculum)  # then probes are its owner's business
        self._told = sorted(known & frozenset(getattr(self.curriculum.teacher, "needs", ())))
        self._wanted = self._check_needs(
            known | frozenset(provides) | ({"probe"} if owned else set())
        )
        self._scored = sorted(self._wanted & VALUE_SCORES)
        kind = type(self.curriculum.teacher)
        self._trusted = (
            issubclass(kind, Teacher)
            and kind.propose is Teacher.propose
            and kind.sample is Teacher.sample
        )

        self._inner_mode = _autoreset_mode(vec)
        self._mode = self._effective_mode()
        self._ends_in_infos = self._inner_mode is AutoresetMode.SAME_STEP
        self._waits = self._mode is AutoresetMode.SAME_STEP
        self._transport = transport_to(vec, self._waits)
        self._check_transport()
        if keep_actions:
            self._check_replayable()

        n = vec.num_envs
        self._everyone = np.arange(n)
        self._ones = np.ones(n)
        space = vec.single_observation_space
        self._floats = isinstance(space, gymnasium.spaces.Box) and space.dtype.kind == "f"
        self._ids = np.full(n, -1, dtype=np.int64)
        self._seeds = np.zeros(n, dtype=np.int64)
        self._tasks: NDArray[Any] | None = None
        self._waiting: Tickets | None = None  # SAME_STEP: the next episodes', one each
        self._started = np.zeros(n, dtype=np.int64)  # the clock when the episode began
        self._clock = 0
        self._returns, self._discounted = np.zeros(n), np.zeros(n)
        self._power, self._product = np.ones(n), np.empty(n)
        self._over: list[int] = []  # finished, not yet reset
        self._again: list[int] = []  # will be reset once more than asked for
        self._ready = False
        self._estimates: FloatArray | None = None
        self._values = _History(n)
        self._rewards = _History(n)
        self._actions = _History(n)
        self._remembers = bool(keep_actions or self._wanted)
        self._observations: Any = None

    def _effective_mode(self) -> AutoresetMode:
        return self._inner_mode

    def _check_transport(self) -> None:
        """Refuse a transport that does not suit the mode."""

    def _check_needs(self, provides: frozenset[str]) -> frozenset[str]:
        """Return which estimates of the student the teacher needs."""
        teacher = self.curriculum.teacher
        needs: frozenset[str] = frozenset(getattr(teacher, "needs", ()))
        missing = needs - _COLUMNS - _FROM_VALUES - provides
        if missing:
            hints = []
            if "probe" in missing:
                hints.append(
                    "probes have to be executed by a currgym run, or by your loop "
                    "(vec.curriculum.requests(); pass provides=['probe'] when it does)"
                )
            if "regret" in missing:
                hints.append("regret is told by two learners on the same tasks: student 'pair'")
            others = ", ".join(sorted(missing - {"probe", "regret"}))
            if others:
                hints.append(
                    f"a vector environment cannot give {others} by itself, and this one's "
                    "`scores` do not name it: an environment that can lists the name in its "
                    "attribute `scores` and tells the number in info at every step"
                )
            name = getattr(teacher, "name", "") or type(teacher).__name__
            raise ValueError(
                f"teacher {name!r} needs {', '.join(sorted(missing))}: {'; '.join(hints)}. "
                "Or use a teacher that does without"
            )
        return needs & _FROM_VALUES

    def _check_replayable(self) -> None:
        if self._transport.resets_twice:
            raise ValueError(
                "AsyncVectorEnv(shared_memory=False) in NEXT_STEP mode resets finished "
                "sub-environments twice, so it cannot be replayed: leave shared_memory on, or use "
                "autoreset_mode='Disabled'"
            )
        space = self.env.single_action_space
        if space.shape is None or space.dtype is None:
            raise ValueError(f"actions can be kept for array spaces, not for {space}")

    # What anybody may look at --------------------------------------------------------------------

    @property
    def teacher(self) -> TeacherLike:
        """The teacher."""
        return self.curriculum.teacher

    @property
    def tickets(self) -> Tickets:
        """The running episodes' tickets, one a sub-environment; id -1 before its reset."""
        tasks = np.empty((0,)) if self._tasks is None else self._tasks.copy()
        return Tickets(self._ids.copy(), tasks, self._seeds.copy())

    @property
    def ledger(self) -> Ledger:
        """What has been spent, the running episodes' steps included.

        A copy: what you spend yourself, charge to ``curriculum.ledger``.
        """
        running = self._ids >= 0
        steps = int((self._clock - self._started)[running].sum())
        return replace(self.curriculum.ledger, steps=self.curriculum.ledger.steps + steps)

    @property
    def needs_values(self) -> bool:
        """Whether the teacher needs the student's value estimates."""
        return bool(self._wanted)

    @property
    def observed(self) -> bool:
        """Whether :meth:`observe` was called since the last step."""
        return self._estimates is not None

    def observe(self, values: Any) -> None:
        """Take the student's value estimates of the current observations, before each step.

        Without effect unless the teacher needs them (:attr:`needs_values`). The final observation
        of an episode that a time limit cut off is estimated by :attr:`value_function`; without one,
        the estimate of the observation before it stands in.

        Args:
            values: One a sub-environment, ``(num_envs,)`` or ``(num_envs, 1)``, array or tensor.

        Raises:
            ValueError: If the number is wrong or one is not finite.
        """
        if self._wanted:
            self._estimates = self._checked_values(values, self.num_envs)

    @staticmethod
    def _checked_values(values: Any, n: int) -> FloatArray:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        array = np.asarray(values, dtype=np.float64)
        if array.size != n:
            raise ValueError(f"values must be {n}, one a sub-environment, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"values must be finite, got {array.reshape(-1)}")
        return array.reshape(n)

    # Reset and step ------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes in all sub-environments, or in those of ``options["reset_mask"]``.

        An episode that is running there is cancelled: its ticket comes back without an outcome and
        its steps stay in the ledger.

        Args:
            seed: Not used: the curriculum owns the episode seeds.
            options: ``"reset_mask"`` (bool, one a sub-environment) and whatever else the
                environment knows. Tasks are the teacher's. The dict is left as it is.

        Raises:
            ValueError: If ``options`` names a task or seeds.
            RuntimeError: If a sub-environment does not play the task it was given, or a mask is
                given at the beginning or after an error, where all have to be reset.
        """
        passed = dict(options) if options else {}
        for name in ("task", "seeds"):
            if name in passed:
                raise ValueError(
                    f"options[{name!r}] is the curriculum's: reset the bare environment"
                )
        mask = passed.get("reset_mask")
        if mask is not None and not self._ready:
            raise RuntimeError("reset all sub-environments first, without a mask")
        self._ready = False  # until it is done
        if mask is None:
            index = self._everyone
        else:
            index = np.flatnonzero(np.asarray(mask))
            passed["reset_mask"] = np.array(mask)
        self._cancel(index)
        rows: list[int] = index.tolist()
        if self._transport.resets_twice:
            self._again = sorted({*self._again, *(set(self._over) & set(rows))})
        waiting = self._waiting
        if waiting is None:
            self._deal(rows)
        else:  # SAME_STEP: what waits is what the reset takes.
            self._take_waiting(index)
            # Put again: the sub-environment may be a new one, or have taken it before an error.
            self._transport.put(rows, waiting.tasks[index], waiting.seeds[index].tolist())
        try:
            observations, infos = self.env.reset(options=passed or None)
        except TROUBLE as error:
            raise self._lost(error) from error
        self._begin(rows, infos)
        sick = self._sick(observations)[rows]
        if sick.any():
            self._raise_blind(observations, rows[int(np.flatnonzero(sick)[0])])
        self._over = sorted(set(self._over) - set(rows))
        if self._waits:
            self._queue_next(rows)
        self._ready = True
        if self._remembers:
            self._observations = observations
        return observations, infos

    def step(self, actions: Any) -> tuple[Any, FloatArray, Any, Any, dict[str, Any]]:
        """Step all sub-environments, tell the teacher what has finished, and hand out new tasks.

        Raises:
            RuntimeError: If a sub-environment does not play the task it was given, waits for a
                reset, its worker has died or hangs, or the student's value estimates are missing.
            ValueError: If a reward or an observation is not finite. The other outcomes of the step
                have reached the teacher, and the ticket is open until :meth:`reset` cancels it.
        """
        if not self._ready:
            raise RuntimeError("call reset() before step()")
        if self._wanted:
            self._record_values()
        resetting: list[int] = []
        if self._over or self._again:
            resetting = self._before_resets()
        if self.keep_actions:
            self._actions.write(self._clock - self._started, np.asarray(actions))
        self._ready = False  # until it is done: an error in between leaves episodes half told
        try:
            observations, rewards, terminated, truncated, infos = self.env.step(actions)
        except TROUBLE as error:
            raise self._lost(error) from error
        if self._wanted:
            self._rewards.write(self._clock - self._started, rewards)
        self._clock += 1
        self.steps += len(self._ids) - len(resetting)
        self._returns += rewards
        self._discounted += np.multiply(self._power, rewards, self._product)
        self._power *= self.gamma
        if resetting:
            self._begin(resetting, infos)
        if self._remembers:
            self._observations = observations
        self.finished = None
        done = terminated | truncated
        broken = not math.isfinite(self._returns.dot(self._ones))
        if self._floats and not broken:
            # The sum of squares is finite unless an entry is not, or it overflows.
            flat = observations.ravel()
            if not math.isfinite(np.vdot(flat, flat)):
                broken = bool(self._sick(observations).any())
        if broken or True in done.tolist():
            index = done.nonzero()[0]
            if broken:
                sick = self._sick(observations) | ~np.isfinite(self._returns)
                index = index[~sick[index]]
            if len(index):
                self._finish(index, observations, terminated, truncated, infos)
            if broken:
                self._raise_broken(observations, rewards)
        self._ready = True
        return observations, rewards, terminated, truncated, infos

    def _before_resets(self) -> list[int]:
        """Hand out tasks to the sub-environments that the next step resets; return these."""
        if self._over and self._mode is not AutoresetMode.NEXT_STEP:
            raise RuntimeError(
                f"sub-environments {self._over} are finished: begin their next episodes with "
                'reset(options={"reset_mask": mask}) before step()'
            )
        self._ready = False  # until the step is done
        over, again = self._over, self._again
        self._over, self._again = [], []
        if over:
            self._deal(over)
        if again:
            assert self._tasks is not None
            self._transport.put(again, self._tasks[again], self._seeds[again].tolist())
        return sorted(over + again)

    def _finish(
        self, index: IntArray, observations: Any, terminated: Any, truncated: Any, infos: State
    ) -> None:
        """Settle the episodes that ended in this step, and prepare the next ones."""
        final = infos.get("final_info", {}) if self._ends_in_infos else infos
        returns = self._returns[index]
        columns: dict[str, Any] = {
            "lengths": self._clock - self._started[index],
            "terminated": terminated[index],
            "truncated": truncated[index],
            "discounted": self._discounted[index],
            "successes": self._successes(index, returns, final),
        }
        if self._wanted:
            ends = infos["final_obs"] if self._ends_in_infos else observations
            columns.update(self._scores(index, ends, columns))
        if self._told:
            columns.setdefault("scores", {}).update(self._told_scores(index, final))
        rows: list[int] = index.tolist()
        try:
            outcomes = self.curriculum.settle(
                self._ids[index],
                returns,
                step=self.steps,
                checked=self._checked(columns),
                **columns,
            )
        except BaseException:
            # The teacher may have refused what the curriculum has closed already.
            still = set(self.curriculum.open)
            self._ids[[i for i in rows if int(self._ids[i]) not in still]] = -1
            raise
        self._ids[index] = -1
        self.finished = Finished(index, outcomes)
        if self._waits:
            self._take_waiting(index)
            self._begin(rows, infos)
            self._queue_next(rows)
        else:
            self._over = sorted(self._over + rows) if self._over else rows

    def _checked(self, columns: State) -> bool:
        """Tell whether the curriculum need not look through these columns again.

        Returns are finite here, and so are sums discounted from the same rewards.
        """
        successes = columns["successes"]
        if self._wanted or self._told:
            return False
        if successes is not None and not set(successes.tolist()) <= _WHOLE:
            return False
        return columns["terminated"].dtype is _BOOL and columns["truncated"].dtype is _BOOL

    def _successes(self, index: IntArray, returns: FloatArray, infos: State) -> FloatArray | None:
        """Return ``info["success"]`` where given, else whether the return is above mastery."""
        column, given = infos.get("success"), infos.get("_success")
        if column is not None and _all(given, index):
            return np.asarray(column[index], dtype=np.float64)
        if self.mastery is None:
            return None
        successes = (returns > self.mastery).astype(np.float64)
        if column is not None and given is not None:
            known = given[index]
            successes[known] = np.asarray(column[index][known], dtype=np.float64)
        return successes

    def _told_scores(self, index: IntArray, infos: State) -> dict[str, FloatArray]:
        """Return the scores that the environment itself tells in ``info``."""
        for name in self._told:
            if name not in infos or not _all(infos.get(f"_{name}"), index):
                raise RuntimeError(f"the environment declares the score {name!r} and tells none")
        return {name: np.asarray(infos[name][index], dtype=np.float64) for name in self._told}

    def _sick(self, observations: Any) -> NDArray[np.bool_]:
        """Tell of each sub-environment whether its observation is not finite."""
        if not self._floats:
            return np.zeros(self.num_envs, dtype=np.bool_)
        sick: NDArray[np.bool_] = ~np.isfinite(observations).reshape(self.num_envs, -1).all(axis=1)
        return sick

    def _raise_broken(self, observations: Any, rewards: FloatArray) -> None:
        broken = np.flatnonzero(~np.isfinite(self._returns))
        if not len(broken):
            self._raise_blind(observations, int(np.flatnonzero(self._sick(observations))[0]))
        i = int(broken[0])
        raise ValueError(
            f"reward {rewards[i]} in {self._episode(i)}: the curriculum has lost nothing; mend the "
            "reward, or reset() to cancel the running episodes and go on"
        )

    def _raise_blind(self, observations: Any, i: int) -> None:
        raise ValueError(
            f"observation {_shown(observations[i])} in {self._episode(i)}: the curriculum has lost "
            "nothing; mend the observation (or the action that led there), or reset() to cancel "
            "the running episodes and go on"
        )

    def _episode(self, i: int) -> str:
        """Return which episode a sub-environment plays, as errors name it."""
        assert self._tasks is not None
        task = self._tasks[i]
        return (
            f"sub-environment {i} at step {self._clock - self._started[i]} of the episode with "
            f"task {task} ({_named(self.task_space, task)}), seed {self._seeds[i]}, ticket "
            f"{self._ids[i]}"
        )

    def _lost(self, trouble: Exception) -> RuntimeError:
        """End all workers, of which one hangs or is dead; return the error that names its task."""
        rows, fate = end_workers(self.env, trouble)
        shown = "; ".join(self._episode(i) for i in rows) or "a sub-environment"
        return RuntimeError(f"the worker of {shown} {fate}")

    # Tickets -------------------------------------------------------------------------------------

    def _deal(self, rows: list[int]) -> None:
        """Draw the next episodes' tickets and put them where the resets find them."""
        first, tasks, seeds = self._issue(rows)
        self._take(rows, range(first, first + len(rows)), tasks, seeds)
        self._transport.put(rows, tasks, seeds)

    def _issue(self, rows: list[int]) -> tuple[int, NDArray[Any], list[int]]:
        first, tasks, seeds = self.curriculum.deal(len(rows), rows)
        if not self._trusted:
            try:
                # In the space's own type: whole numbers would make the books whole-numbered.
                tasks = self.task_space.check(tasks)
            except ValueError:
                self.curriculum.cancel(range(first, first + len(rows)))
                raise
        return first, tasks, seeds

    def _take(
        self, rows: list[int], ids: Sequence[int], tasks: NDArray[Any], seeds: Sequence[int]
    ) -> None:
        """Make these the tickets of the running episodes."""
        # Row by row here and below: episodes mostly end one at a time, where that is quickest.
        if self._tasks is None:
            self._tasks = np.empty((self.num_envs, *tasks.shape[1:]), tasks.dtype)
        for i, id, task, seed in zip(rows, ids, tasks, seeds, strict=True):
            self._ids[i], self._tasks[i], self._seeds[i] = id, task, seed
            self._started[i] = self._clock

    def _take_waiting(self, index: IntArray) -> None:
        """SAME_STEP: make the waiting tickets of some sub-environments the running ones."""
        assert self._waiting is not None
        ids, tasks, seeds = (column[index] for column in self._waiting)
        self._take(index.tolist(), ids.tolist(), tasks, seeds.tolist())

    def _queue_next(self, rows: list[int]) -> None:
        """SAME_STEP: draw the episodes after the running ones and let them wait."""
        first, tasks, seeds = self._issue(rows)
        ids = range(first, first + len(rows))
        if self._waiting is None:
            self._waiting = Tickets(np.array(ids), tasks.copy(), np.array(seeds))
        else:
            for column, fresh in zip(self._waiting, (ids, tasks, seeds), strict=True):
                column[rows] = fresh
        self._transport.put(rows, tasks, seeds)

    def _cancel(self, index: IntArray) -> None:
        """Take back the tickets of running episodes."""
        index = index[self._ids[index] >= 0]
        if len(index):
            self.curriculum.cancel(self._ids[index], self._clock - self._started[index])
            self._ids[index] = -1

    def _begin(self, rows: list[int], infos: State) -> None:
        """Start to count the episodes that were just reset, seeing that they play their task."""
        self._verify(rows, infos)
        for i in rows:
            self._started[i] = self._clock
            self._returns[i] = self._discounted[i] = 0.0
            self._power[i] = 1.0

    def _verify(self, rows: list[int], infos: State) -> None:
        """Compare ``info["task"]`` with the tickets."""
        assert self._tasks is not None
        reported, given = infos.get("task"), infos.get("_task")
        if not isinstance(reported, np.ndarray):
            reported = None
        for i in rows:
            task, played = self._tasks[i], None
            if reported is not None and (given is None or given[i]):
                played = reported[i]
                same_type = getattr(played, "dtype", None) == task.dtype
                if same_type and played.tobytes() == task.tobytes():
                    continue
            if played is None or not np.array_equal(np.asarray(played), task):
                plays = 'reports no info["task"]' if played is None else f"plays task {played}"
                raise RuntimeError(
                    f"sub-environment {i} {plays} after a reset, and ticket {self._ids[i]} asks "
                    f"for task {task}: the task does not reach it"
                )

    # Value estimates -----------------------------------------------------------------------------

    def _record_values(self) -> None:
        if self._estimates is None:
            if self.value_function is None:
                raise RuntimeError(
                    f"the teacher needs {', '.join(sorted(self._wanted))}: call "
                    "vec.observe(values) with the student's value estimates before every step()"
                )
            self.observe(self.value_function(self._observations))
        self._values.write(self._clock - self._started, self._estimates)
        self._estimates = None

    def _scores(self, index: IntArray, ends: Any, columns: State) -> State:
        """Return the columns made from value estimates."""
        cut = index[columns["truncated"] & ~columns["terminated"]]
        final_values = dict.fromkeys(index.tolist(), 0.0)
        for i in cut.tolist():
            # Without a value function the last observation's estimate stands in.
            final_values[i] = float(self._values.rows(i, self._clock - self._started[i])[-1])
        if len(cut) and self.value_function is not None:
            batch = stack([ends[i] for i in cut]) if self._ends_in_infos else rows_of(ends, cut)
            estimates = self._checked_values(self.value_function(batch), len(cut))
            final_values.update(zip(cut.tolist(), estimates.tolist(), strict=True))
        initial = np.empty(len(index))
        scores: dict[str, FloatArray] = {name: np.empty(len(index)) for name in self._scored}
        for k, i in enumerate(index.tolist()):
            length = int(columns["lengths"][k])
            values = self._values.rows(i, length)
            initial[k] = values[0]
            found = episode_scores(
                self._rewards.rows(i, length),
                values,
                final_values[i],
                gamma=self.gamma,
                gae_lambda=self.gae_lambda,
                names=self._scored,
            )
            for name, score in found.items():
                scores[name][k] = score
        return {"initial_values": initial, "scores": scores}

    # State ---------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Return all of it as plain arrays and numbers: curriculum, tickets, running episodes.

        With ``keep_actions`` also the actions since each last reset and the current observations,
        from which :meth:`restore` brings new sub-environments to the very same point.
        """
        lengths = self._clock - self._started
        state: State = {
            "curriculum": self.curriculum.state_dict(),
            "steps": self.steps,
            "ids": self._ids.copy(),
            "seeds": self._seeds.copy(),
            "lengths": lengths,
            "returns": self._returns.copy(),
            "discounted": self._discounted.copy(),
            "power": self._power.copy(),
            "over": np.array(self._over, dtype=np.int64),
            "ready": self._ready,
        }
        if self._tasks is not None:
            state["tasks"] = self._tasks.copy()
        if self._waiting is not None:
            state["waiting"] = {k: v.copy() for k, v in self._waiting._asdict().items()}
        if self._wanted:
            state["values"] = self._values.joined(lengths)
            state["rewards"] = self._rewards.joined(lengths)
        if self.keep_actions:
            state["actions"] = self._actions.joined(lengths)
            if self._observations is not None:
                state["observations"] = _plain(self._observations)
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the books back; follow it with ``reset()``, which cancels the running episodes.

        To go on within them, call :meth:`restore` instead.
        """
        if len(state["ids"]) != self.num_envs:
            raise ValueError(
                f"the state is of {len(state['ids'])} sub-environments, and there are "
                f"{self.num_envs}"
            )
        self.curriculum.load_state_dict(state["curriculum"])
        self.steps = int(state["steps"])
        self._ids[:], self._seeds[:] = state["ids"], state["seeds"]
        lengths = np.asarray(state["lengths"], dtype=np.int64)
        self._clock = int(lengths.max())
        self._started[:] = self._clock - lengths
        self._returns[:], self._discounted[:] = state["returns"], state["discounted"]
        self._power[:] = state["power"]
        self._over = [int(i) for i in state["over"]]
        self._again = []
        self._tasks = np.array(state["tasks"]) if "tasks" in state else None
        self._waiting = None
        if "waiting" in state:
            kept = state["waiting"]
            self._waiting = Tickets(*(np.array(kept[name]) for name in Tickets._fields))
        if self._wanted:
            self._values.split(state["values"], lengths)
            self._rewards.split(state["rewards"], lengths)
        if self.keep_actions and "actions" in state:
            self._actions.split(state["actions"], lengths)
        self._estimates, self.finished = None, None
        self._ready = False

    def restore(self, state: Mapping[str, Any]) -> Any:
        """Go on from :meth:`state_dict` exactly: books back, then every running episode replayed.

        Each sub-environment is reset with its ticket's (task, seed) and takes the recorded actions
        again. The replay is not in the ledger: the steps were counted when they were first made.

        Returns:
            The current observations.

        Raises:
            ValueError: If the state was made without ``keep_actions``.
            RuntimeError: If a replayed observation is not the saved one, to the bit.
        """
        if "actions" not in state or not self.keep_actions:
            raise ValueError("restore() needs keep_actions=True, now and when the state was made")
        self.load_state_dict(state)
        if not state["ready"]:
            raise ValueError("the state was made before the first reset(), or after an error")
        lengths = self._clock - self._started
        actions = [self._actions.rows(i, int(k)) for i, k in enumerate(lengths)]
        observations = self._replay(actions)
        saved = state["observations"]
        for i in range(self.num_envs):
            if _bits(rows_of(_plain(observations), i)) != _bits(rows_of(saved, i)):
                raise RuntimeError(
                    f"sub-environment {i} does not come back to where it was: after the "
                    f"{len(actions[i])} recorded actions of ticket {self._ids[i]} its observation "
                    "differs. The environment is not a function of task, seed and actions, or not "
                    "the one that made the state"
                )
        if self._waiting is not None:
            everyone = list(range(self.num_envs))
            self._transport.put(everyone, self._waiting.tasks, self._waiting.seeds.tolist())
        self._ready = True
        self._observations = observations
        return observations

    def _replay(self, actions: list[NDArray[Any]]) -> Any:
        """Bring every sub-environment to the end of its actions, all at the same moment.

        A vector environment steps all at once. So each one is begun when as many steps are left as
        it has actions; what it does before is of no account.
        """
        assert self._tasks is not None
        n, total = self.num_envs, max(len(a) for a in actions)
        longest = max(range(n), key=lambda i: len(actions[i]))
        begins = np.array([total - len(a) for a in actions])
        observations: Any = self._rewind(np.ones(n, dtype=np.bool_))
        done = np.zeros(n, dtype=np.bool_)
        for t in range(total):
            if t:
                starting = begins == t
                if starting.any():
                    observations = self._rewind(starting)
                idle = done & (begins > t)
                if idle.any() and self._inner_mode is AutoresetMode.DISABLED:
                    self.env.reset(options={"reset_mask": idle})
            batch = np.stack(
                [
                    a[t - begins[i]] if t >= begins[i] else actions[longest][t]
                    for i, a in enumerate(actions)
                ]
            )
            observations, _, terminated, truncated, _ = self.env.step(batch)
            done = terminated | truncated
            early = done & (begins <= t)
            if t < total - 1 and early.any():
                i = int(np.flatnonzero(early)[0])
                raise RuntimeError(
                    f"sub-environment {i} does not come back to where it was: its episode (ticket "
                    f"{self._ids[i]}) ends after {t - begins[i] + 1} of {len(actions[i])} actions"
                )
        resting = begins == total
        if total and resting.any():
            observations = self._rewind(resting)
        return observations

    def _rewind(self, mask: NDArray[np.bool_]) -> Any:
        """Reset some sub-environments to the beginning of their episodes."""
        assert self._tasks is not None
        index = np.flatnonzero(mask)
        self._transport.put(index.tolist(), self._tasks[index], self._seeds[index].tolist())
        options = None if mask.all() else {"reset_mask": mask.copy()}
        observations, infos = self.env.reset(options=options)
        self._verify(index.tolist(), infos)
        return observations


# Small things ------------------------------------------------------------------------------------


def _all(mask: NDArray[np.bool_] | None, index: IntArray) -> bool:
    """Tell whether a mask, where there is one, is set at all of the indices."""
    return mask is None or False not in mask[index].tolist()


class _History:
    """What happened at each step of the running episodes: one growing row a sub-environment."""

    def __init__(self, num_envs: int) -> None:
        self._everyone = np.arange(num_envs)
        self._buffer: NDArray[Any] | None = None

    def write(self, positions: IntArray, entries: Any) -> None:
        """Write one entry a row, each at its position."""
        array = np.asarray(entries)
        buffer = self._buffer
        if buffer is None:
            shape = (len(self._everyone), 256, *array.shape[1:])
            self._buffer = buffer = np.zeros(shape, dtype=array.dtype)
        elif buffer.dtype != array.dtype:
            raise TypeError(f"entries were {buffer.dtype} before and are {array.dtype} now")
        needed = int(positions.max()) + 1
        if needed > buffer.shape[1]:
            grown = np.zeros((buffer.shape[0], 2 * needed, *buffer.shape[2:]), dtype=buffer.dtype)
            grown[:, : buffer.shape[1]] = buffer
            self._buffer = buffer = grown
        buffer[self._everyone, positions] = array

    def rows(self, i: int, length: int) -> NDArray[Any]:
        """Return the first entries of one row."""
        if self._buffer is None:
            return np.empty(0)
        return self._buffer[i, :length]

    def joined(self, lengths: IntArray) -> NDArray[Any]:
        """Return the rows one after the other, each up to its length."""
        return np.concatenate([self.rows(i, int(k)) for i, k in enumerate(lengths)])

    def split(self, entries: NDArray[Any], lengths: IntArray) -> None:
        """Take back what :meth:`joined` returned."""
        self._buffer = None
        if len(entries):
            shape = (len(lengths), max(256, int(lengths.max()) + 1), *entries.shape[1:])
            self._buffer = np.zeros(shape, dtype=entries.dtype)
            ends = np.cumsum(lengths)
            for i, (end, k) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
                self._buffer[i, :k] = entries[end - k : end]


def _shown(observation: Any) -> str:
    return np.array2string(np.asarray(observation).ravel(), threshold=8, precision=4)


def _named(space: TaskSpace, task: Any) -> str:
    return ", ".join(f"{name} = {value}" for name, value in space.as_dict(task).items())


def rows_of(batch: Any, index: Any) -> Any:
    """Return rows of a batch of observations, which may be a dict or a tuple of them."""
    if isinstance(batch, Mapping):
        return {name: rows_of(part, index) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(rows_of(part, index) for part in batch)
    return batch[index]


def stack(observations: list[Any]) -> Any:
    """Return a batch of single observations, which may be arrays, numbers, dicts or tuples."""
    first = observations[0]
    if isinstance(first, Mapping):
        return {name: stack([o[name] for o in observations]) for name in first}
    if isinstance(first, tuple):
        return tuple(stack(list(parts)) for parts in zip(*observations, strict=True))
    return np.stack(observations)


def _plain(batch: Any) -> Any:
    """Return a copy of a batch of observations as nested dicts of arrays."""
    if isinstance(batch, Mapping):
        return {str(name): _plain(part) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return {str(k): _plain(part) for k, part in enumerate(batch)}
    return deepcopy(np.asarray(batch))


def _bits(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _bits(part) for name, part in observation.items()}
    return np.asarray(observation).tobytes()
