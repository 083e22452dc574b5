"""A curriculum over Stable-Baselines3's vector environments.

>>> import gymnasium, currgym
>>> vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=2)
>>> venv = currgym.sb3.wrap(vec, "random", seed=0)
>>> venv.reset().shape
(2, 4)

Then ``PPO("MlpPolicy", venv)`` as always.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
    VecTransposeImage,
)

from currgym.curriculum import Curriculum, Ledger, Tickets
from currgym.outcomes import Outcomes
from currgym.tasks import TaskSpace
from currgym.teaching import TeacherLike
from currgym.vector import CurriculumVectorEnv, Finished, Transport

__all__ = ["CurriculumCallback", "CurriculumVecEnv", "value_function", "wrap"]

State = dict[str, Any]


def wrap(
    env: VectorEnv[Any, Any, Any] | VecEnv | gymnasium.Env[Any, Any],
    teacher: str | TeacherLike | Curriculum,
    seed: int | None = 0,
    *,
    gamma: float = 0.99,
    gae_lambda: float = 0.95,
    keep_actions: bool = False,
    provides: Collection[str] = (),
    step_timeout: float | None = None,
    **teacher_parameters: Any,
) -> CurriculumVecEnv:
    """Return a Stable-Baselines3 ``VecEnv`` whose every episode plays a task of the teacher's.

    Finished sub-environments are reset by a masked reset inside the same step, with nothing queued:
    the next task is drawn after the outcome has reached the teacher. Only over ``SubprocVecEnv``
    (and other ``VecEnv``s whose resets are out of reach) one task waits at each sub-environment;
    prefer ``gymnasium.make_vec(..., vectorization_mode="async")`` there.

    Put ``VecNormalize`` on top of the result, never below: teachers see raw returns.

    Args:
        env: A Gymnasium vector environment in any autoreset mode, an SB3 ``VecEnv`` (a
            ``DummyVecEnv``'s environments are taken over: do not use it beside), or one
            environment.
        teacher: A registered name (``"alp-gmm"``, ``"alp-gmm:corl2019"``), a teacher, or a
            :class:`currgym.Curriculum`.
        seed: Of the teacher built by name, and of the episode seeds.
        gamma: Discount of the column ``discounted`` and of the scores.
        gae_lambda: Trace parameter of the scores.
        keep_actions: Keep the actions since each last reset, for :meth:`CurriculumVecEnv.restore`.
        provides: What your loop gives beyond outcomes (see :class:`currgym.CurriculumVectorEnv`).
        step_timeout: Seconds that workers have for a step (see there).
        **teacher_parameters: Passed to :func:`currgym.make_teacher`.

    Raises:
        ValueError: If the teacher needs what nobody provides.
        TypeError: If tasks cannot reach the sub-environments.
    """
    settings: State = {
        "gamma": gamma,
        "gae_lambda": gae_lambda,
        "keep_actions": keep_actions,
        "provides": provides,
        "step_timeout": step_timeout,
        **teacher_parameters,
    }
    if isinstance(env, DummyVecEnv):
        return CurriculumVecEnv(_ManualResets(_over(env.envs), teacher, seed, **settings))
    if isinstance(env, VecEnv):
        if keep_actions:
            raise ValueError(
                f"{type(env).__name__} cannot reset one sub-environment, so its actions cannot be "
                "replayed: use gymnasium.make_vec(..., vectorization_mode='async')"
            )
        return CurriculumVecEnv(CurriculumVectorEnv(_FromVecEnv(env), teacher, seed, **settings))
    if isinstance(env, gymnasium.Env):
        env = _over([env])
    return CurriculumVecEnv(_ManualResets(env, teacher, seed, **settings))


def _over(envs: Sequence[gymnasium.Env[Any, Any]]) -> SyncVectorEnv:
    """Return a vector environment over environments that exist already."""
    made = [lambda env=env: env for env in envs]
    return SyncVectorEnv(made, autoreset_mode=AutoresetMode.DISABLED)


class _ManualResets(CurriculumVectorEnv):
    """Leaves every reset to the caller, whatever the vector environment would do by itself.

    Where that resets within the step (``SAME_STEP``) its reset finds nothing queued and repeats the
    task; the masked reset that follows begins the episode that counts.
    """

    def _effective_mode(self) -> AutoresetMode:
        return AutoresetMode.DISABLED

    def _check_transport(self) -> None:
        if self._transport.resets_twice:
            raise ValueError(
                "AsyncVectorEnv(shared_memory=False) in NEXT_STEP mode resets finished "
                "sub-environments twice: leave shared_memory on, or use autoreset_mode='Disabled'"
            )


class CurriculumVecEnv(VecEnv):
    """What :func:`wrap` returns.

    The ``info`` of an episode's last step carries ``terminal_observation`` and
    ``TimeLimit.truncated`` as SB3 expects, ``episode`` as its ``Monitor`` writes it (``r``, ``l``,
    ``t``), ``is_success`` where known, and ``task``.

    A seed given by ``seed()`` is not used: the curriculum owns the episode seeds.
    """

    def __init__(self, core: CurriculumVectorEnv) -> None:
        self.core = core
        """The vector form that does the work."""
        self._source = core.env if isinstance(core.env, _FromVecEnv) else None
        self._actions: Any = None
        self._began = time.monotonic()
        super().__init__(core.num_envs, core.single_observation_space, core.single_action_space)

    # What anybody may look at --------------------------------------------------------------------

    @property
    def curriculum(self) -> Curriculum:
        """The curriculum."""
        return self.core.curriculum

    @property
    def teacher(self) -> TeacherLike:
        """The teacher."""
        return self.core.teacher

    @property
    def task_space(self) -> TaskSpace:
        """The task space."""
        return self.core.task_space

    @property
    def ledger(self) -> Ledger:
        """What has been spent, the running episodes' steps included."""
        return self.core.ledger

    @property
    def tickets(self) -> Tickets:
        """The running episodes' tickets, one a sub-environment."""
        return self.core.tickets

    @property
    def finished(self) -> Finished | None:
        """The episodes that the last step ended, or None."""
        return self.core.finished

    # The student's value estimates ---------------------------------------------------------------

    def attach(self, model: BaseAlgorithm) -> None:
        """Take value estimates from this model, where the teacher needs them.

        Raises:
            ValueError: If the model has no estimates to give.
        """
        if self.core.needs_values:
            self.core.value_function = value_function(model, self)

    def callback(self) -> CurriculumCallback:
        """Return a callback for ``model.learn``: attaches the model, logs the curriculum."""
        return CurriculumCallback(self)

    def observe(self, values: Any) -> None:
        """Take the student's value estimates of the current observations, before a step."""
        self.core.observe(values)

    # VecEnv --------------------------------------------------------------------------------------

    def reset(self) -> Any:
        """Begin an episode everywhere; running ones are cancelled."""
        observations, infos = self.core.reset()
        self.reset_infos = _unbatch(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[State]]:
        """Step all; begin the next episodes of those that are finished.

        Raises:
            RuntimeError: If the teacher needs value estimates and no model is attached.
        """
        core = self.core
        if core.needs_values and core.value_function is None and not core.observed:
            raise RuntimeError(
                f"teacher {core.teacher!r} needs the student's value estimates: call "
                "venv.attach(model), or pass callback=venv.callback() to model.learn()"
            )
        observations, rewards, terminated, truncated, infos = core.step(self._actions)
        done = np.asarray(terminated | truncated)
        if self._source is not None:
            listed = self._source.listed
            self.reset_infos = self._source.venv.unwrapped.reset_infos
        else:
            listed = _unbatch(infos, self.num_envs)
            if np.count_nonzero(done):
                observations = self._restart(observations, terminated, truncated, infos, listed)
        if core.finished is not None:
            self._report(core.finished, listed)
        return observations, rewards.astype(np.float32), done, listed

    def _restart(
        self, observations: Any, terminated: Any, truncated: Any, infos: State, listed: list[State]
    ) -> Any:
        """Fill in the last infos of finished episodes and begin the next ones."""
        done = np.asarray(terminated | truncated)
        same_step = "final_obs" in infos
        finals = _unbatch(infos.get("final_info", {}), self.num_envs) if same_step else listed
        for i in np.flatnonzero(done).tolist():
            last = infos["final_obs"][i] if same_step else _row(observations, i)
            listed[i] = {
                **finals[i],
                "terminal_observation": last,
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        observations, infos = self.core.reset(options={"reset_mask": done})
        reset_infos = _unbatch(infos, self.num_envs)
        for i in np.flatnonzero(done).tolist():
            self.reset_infos[i] = reset_infos[i]
        return observations

    def _report(self, finished: Finished, listed: list[State]) -> None:
        outcomes: Outcomes = finished.outcomes
        returns = outcomes.returns
        assert returns is not None
        elapsed = round(time.monotonic() - self._began, 6)
        for k, i in enumerate(finished.indices.tolist()):
            info = listed[i]
            info["episode"] = {"r": float(returns[k]), "l": int(outcomes.lengths[k]), "t": elapsed}
            info["task"] = outcomes.tasks[k]
            if outcomes.successes is not None:
                info["is_success"] = float(outcomes.successes[k])

    def close(self) -> None:
        """Close all environments."""
        self.core.close()

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """Return a picture of each sub-environment."""
        if self._source is not None:
            return self._source.venv.get_images()
        if self.render_mode is None:
            return [None] * self.num_envs
        pictures: Any = self.core.render()
        return list(pictures)

    def has_attr(self, attr_name: str) -> bool:
        """Tell whether all sub-environments have an attribute."""
        if self._source is not None:
            return self._source.venv.has_attr(attr_name)
        base: Any = self.core.unwrapped
        if hasattr(base, "call"):
            return all(base.call("has_wrapper_attr", attr_name))
        return hasattr(base, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of sub-environments.

        Raises:
            AttributeError: If one has no such attribute.
        """
        if self._source is not None:
            return self._source.venv.get_attr(attr_name, indices)
        base: Any = self.core.unwrapped
        if attr_name == "render_mode":
            everyone: Sequence[Any] = [self.core.render_mode] * self.num_envs
        elif hasattr(base, "call"):
            if not self.has_attr(attr_name):
                raise AttributeError(f"the sub-environments of {base} have no {attr_name!r}")
            everyone = base.get_attr(attr_name)
        else:
            everyone = [getattr(base, attr_name)] * self.num_envs
        return [everyone[i] for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of sub-environments (of all, unless they live in this process).

        Raises:
            ValueError: If only some of the sub-environments of other processes are named.
        """
        if self._source is not None:
            self._source.venv.set_attr(attr_name, value, indices)
            return
        base: Any = self.core.unwrapped
        rows = list(self._get_indices(indices))
        if isinstance(base, SyncVectorEnv):
            for i in rows:
                base.envs[i].set_wrapper_attr(attr_name, value)
        elif len(rows) == self.num_envs and hasattr(base, "set_attr"):
            base.set_attr(attr_name, [value] * self.num_envs)
        else:
            raise ValueError(f"{base} sets attributes of all its sub-environments, or of none")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of sub-environments.

        Raises:
            ValueError: If only some of the sub-environments of other processes are named, or they
                are computed all at once and have no methods of their own.
        """
        if self._source is not None:
            return self._source.venv.env_method(
                method_name, *method_args, indices=indices, **method_kwargs
            )
        base: Any = self.core.unwrapped
        rows = list(self._get_indices(indices))
        if isinstance(base, SyncVectorEnv):
            return [
                base.envs[i].get_wrapper_attr(method_name)(*method_args, **method_kwargs)
                for i in rows
            ]
        if len(rows) == self.num_envs and hasattr(base, "call"):
            return list(base.call(method_name, *method_args, **method_kwargs))
        raise ValueError(f"{base} calls methods of all its sub-environments, or of none")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Tell whether sub-environments wear a wrapper; ``Monitor``'s work is done here."""
        rows = list(self._get_indices(indices))
        if self._source is not None and wrapper_class is not Monitor:
            return self._source.venv.env_is_wrapped(wrapper_class, indices)
        if wrapper_class is Monitor:
            return [True] * len(rows)
        base = self.core.unwrapped
        if not isinstance(base, SyncVectorEnv):
            return [False] * len(rows)
        return [_wears(base.envs[i], wrapper_class) for i in rows]

    # State ---------------------------------------------------------------------------------------

    def state_dict(self) -> State:
        """Return all of it as plain arrays and numbers (valid between two steps)."""
        return self.core.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the books back; ``reset()`` then cancels the running episodes."""
        self.core.load_state_dict(state)

    def restore(self, state: Mapping[str, Any]) -> Any:
        """Go on exactly from a state made with ``keep_actions``; return the observations."""
        return self.core.restore(state)


class CurriculumCallback(BaseCallback):
    """Gives the model to the curriculum and logs ``curriculum/...`` after every rollout.

    Args:
        venv: What :func:`wrap` returned.
    """

    def __init__(self, venv: CurriculumVecEnv) -> None:
        super().__init__()
        self.venv = venv
        self._tasks: list[Any] = []

    def _init_callback(self) -> None:
        self.venv.attach(self.model)

    def _on_step(self) -> bool:
        if self.venv.finished is not None:
            self._tasks.extend(self.venv.finished.outcomes.tasks)
        return True

    def _on_rollout_end(self) -> None:
        ledger = self.venv.ledger
        self.logger.record("curriculum/attempts", ledger.attempts)
        self.logger.record("curriculum/environment_steps", ledger.environment_steps)
        space = self.venv.task_space
        if self._tasks and np.ndim(self._tasks[0]) == 1:
            means = np.mean(self._tasks, axis=0)
            for name, mean in zip(space.names, means.tolist(), strict=False):
                self.logger.record(f"curriculum/mean_{name}", mean)
        self._tasks = []


# Value estimates ---------------------------------------------------------------------------------


def value_function(model: BaseAlgorithm, venv: CurriculumVecEnv) -> Callable[[Any], Any]:
    """Return the model's state values as a function of raw observations, in raw reward.

    On-policy: the critic. DQN: the largest Q. SAC, TD3 and kin: the smallest critic's Q of the
    deterministic action. Normalisation between ``venv`` and the model is applied to observations
    and taken back from values.

    Raises:
        ValueError: If the model has no such estimates, or sees observations that cannot be made
            here.
    """
    estimate = _estimator(model)
    layers: list[VecNormalize | VecTransposeImage] = []
    node: Any = model.get_env()
    while isinstance(node, VecEnvWrapper):
        if isinstance(node, (VecNormalize, VecTransposeImage)):
            layers.append(node)
        elif type(node).step_wait is not VecEnvWrapper.step_wait and not _passive(node):
            raise ValueError(
                f"{type(node).__name__} between the curriculum and the model changes what it "
                "observes, so its values cannot be asked here: call venv.observe(values) yourself"
            )
        node = node.venv
    if node is not venv:
        raise ValueError("this model does not learn on this vector environment")
    layers.reverse()

    def values(observations: Any) -> NDArray[np.float64]:
        for layer in layers:
            if isinstance(layer, VecNormalize):
                observations = layer.normalize_obs(observations)
            else:
                observations = layer.transpose_observations(observations)
        tensor, _ = model.policy.obs_to_tensor(observations)
        with torch.no_grad():
            found = estimate(tensor).reshape(-1).cpu().numpy().astype(np.float64)
        for layer in reversed(layers):
            if isinstance(layer, VecNormalize):
                found = layer.unnormalize_reward(found)
        return np.asarray(found)

    return values


def _passive(node: VecEnvWrapper) -> bool:
    """Tell whether a wrapper leaves the observations as they are."""
    return type(node).__name__ in ("VecMonitor", "VecCheckNan", "VecVideoRecorder")


def _estimator(model: BaseAlgorithm) -> Callable[[Any], torch.Tensor]:
    policy: Any = model.policy
    name = type(model).__name__
    if hasattr(model, "_last_lstm_states"):
        raise ValueError(f"{name}'s values depend on its memory: call venv.observe() yourself")
    if hasattr(policy, "predict_values"):
        return lambda tensor: policy.predict_values(tensor)
    if hasattr(policy, "q_net"):
        return lambda tensor: policy.q_net(tensor).max(dim=1).values
    if hasattr(policy, "critic") and hasattr(policy, "actor") and policy.critic is not None:

        def smallest(tensor: Any) -> torch.Tensor:
            actions = policy._predict(tensor, deterministic=True)
            return torch.cat(policy.critic(tensor, actions), dim=1).min(dim=1).values

        return smallest
    raise ValueError(
        f"the teacher needs value estimates, and {name} has none to give: choose a student with a "
        "critic (ppo, sac, ...), or a teacher that does without"
    )


# Other VecEnvs -----------------------------------------------------------------------------------


class _FromVecEnv(VectorEnv[Any, Any, Any]):
    """An SB3 ``VecEnv`` in Gymnasium's clothes: it resets within the step, so ``SAME_STEP``."""

    def __init__(self, venv: VecEnv) -> None:
        node: Any = venv
        while isinstance(node, VecEnvWrapper):
            if isinstance(node, VecNormalize):
                raise ValueError(
                    "VecNormalize lies below the curriculum, and teachers need raw returns: wrap "
                    "the bare vector environment, then put VecNormalize on top"
                )
            node = node.venv
        self.venv = venv
        self.num_envs = venv.num_envs
        self.single_observation_space = venv.observation_space
        self.single_action_space = venv.action_space
        self.observation_space = batch_space(venv.observation_space, venv.num_envs)
        self.action_space = batch_space(venv.action_space, venv.num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.render_mode = venv.render_mode
        self.transport = _ByMethod(venv)
        self.listed: list[State] = []

    def get_attr(self, name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of sub-environments."""
        return self.venv.get_attr(name, indices)

    def has_attr(self, name: str) -> bool:
        """Tell whether all sub-environments have an attribute."""
        return self.venv.has_attr(name)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, State]:
        """Reset all.

        Raises:
            ValueError: If only some are to be reset.
        """
        if options:
            raise ValueError(f"{type(self.venv).__name__} takes no options, got {sorted(options)}")
        return self.venv.reset(), self._reset_infos(np.ones(self.num_envs, dtype=np.bool_))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, State]:
        """Step all, in Gymnasium's form."""
        observations, rewards, done, listed = self.venv.step(actions)
        self.listed = listed = list(listed)
        done = np.asarray(done, dtype=np.bool_)
        truncated = np.array([bool(info.get("TimeLimit.truncated", False)) for info in listed])
        infos: State = {}
        if done.any():
            infos = self._reset_infos(done)
            final_obs = np.full(self.num_envs, None, dtype=object)
            final_info: State = {}
            for i in np.flatnonzero(done).tolist():
                final_obs[i] = listed[i].get("terminal_observation")
                success = {k: v for k, v in listed[i].items() if k == "success"}
                final_info = self._add_info(final_info, success, i)
            infos["final_obs"], infos["final_info"] = final_obs, final_info
        truncated &= done
        return observations, rewards.astype(np.float64), done & ~truncated, truncated, infos

    def _reset_infos(self, mask: NDArray[np.bool_]) -> State:
        infos: State = {}
        for i in np.flatnonzero(mask).tolist():
            info = self.venv.unwrapped.reset_infos[i] or {}
            infos = self._add_info(infos, {k: v for k, v in info.items() if k == "task"}, i)
        return infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close all environments."""
        self.venv.close()


class _ByMethod(Transport):
    """Reaches sub-environments by calling ``set_wrapper_attr`` there.

    SB3's own ``set_attr`` would write on the outermost wrapper, where no environment looks.
    """

    def __init__(self, venv: VecEnv) -> None:
        if not venv.has_attr("queued"):
            raise TypeError(
                f"the sub-environments of {venv} have no `queued` attribute through which a task "
                "could reach them: use one of `currgym list envs`, or wrap yours in "
                "currgym.ParameterizedEnv"
            )
        self.venv = venv

    def put(self, rows: list[int], tasks: NDArray[Any], seeds: list[int]) -> None:
        """Queue one episode for each of ``rows``."""
        for i, task, seed in zip(rows, tasks, seeds, strict=True):
            self.venv.env_method("set_wrapper_attr", "queued", (task, seed), indices=[i])


# Small things ------------------------------------------------------------------------------------


def _unbatch(infos: Mapping[str, Any], n: int) -> list[State]:
    """Return Gymnasium's dict of arrays as a list of dicts."""
    listed: list[State] = [{} for _ in range(n)]
    for key, column in infos.items():
        if key.startswith("_") and key[1:] in infos:
            continue
        values: Any = column
        if isinstance(column, Mapping):
            values = _unbatch(column, n)
        elif isinstance(column, np.ndarray) and column.ndim == 1:
            values = column.tolist()
        mask = infos.get(f"_{key}")
        if mask is None or np.count_nonzero(mask) == n:
            for info, value in zip(listed, values, strict=True):
                info[key] = value
        else:
            for i in np.flatnonzero(mask).tolist():
                listed[i][key] = values[i]
    return listed


def _row(batch: Any, i: int) -> Any:
    """Return a copy of one observation of a batch."""
    if isinstance(batch, Mapping):
        return {name: _row(part, i) for name, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_row(part, i) for part in batch)
    return np.array(batch[i])


def _wears(env: Any, wrapper_class: type[Any]) -> bool:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, wrapper_class):
            return True
        env = env.env
    return False
