"""Stable-Baselines3 students: built by name, normalised, saved and restored bit for bit."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from currgym import sb3
from currgym.curriculum import Curriculum, Ledger
from currgym.registry import check_arguments
from currgym.sb3 import CurriculumVecEnv, value_function
from currgym.students import students
from currgym.students.base import Environments, SafePoint
from currgym.students.meter import OptimizerMeter

__all__ = [
    "Policy", "SB3Student", "global_randomness", "guarded_randomness", "set_global_randomness",
]  # fmt: skip

_OWN = ("normalize", "net_arch", "activation", "action_noise")
# Parts of a policy's module that no action depends on.
_ONLY_LEARNING = ("critic", "actor_target", "q_net_target", "quantile_net_target")
_PLUMBING = (
    "self",
    "policy",
    "env",
    "seed",
    "device",
    "verbose",
    "tensorboard_log",
    "_init_setup_model",
)
# Plain attributes beyond parameters and optimisers that the next update depends on.
_COUNTERS = (
    "num_timesteps", "_n_updates", "_episode_num", "_n_calls", "_current_progress_remaining",
    "exploration_rate",
)  # fmt: skip


@contextmanager
def guarded_randomness() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's global generators as they were found."""
    saved = global_randomness()
    try:
        yield
    finally:
        set_global_randomness(saved)


def global_randomness() -> dict[str, Any]:
    """Return where Python's, NumPy's and torch's global generators stand."""
    version, words, position = random.getstate()[0], random.getstate()[1], random.getstate()[2]
    name, keys, pos, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    return {
        "python": {
            "version": version, "words": np.array(words, dtype=np.int64), "gauss": position,
        },
        "numpy": {
            "name": str(name), "keys": np.asarray(keys), "pos": int(pos),
            "has_gauss": int(has_gauss), "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }  # fmt: skip


def set_global_randomness(state: Mapping[str, Any]) -> None:
    """Put the global generators where :func:`global_randomness` found them."""
    python, legacy = state["python"], state["numpy"]
    words = tuple(int(w) for w in python["words"])
    random.setstate((python["version"], words, python["gauss"]))
    np.random.set_state(  # noqa: NPY002
        (legacy["name"], legacy["keys"], legacy["pos"], legacy["has_gauss"], legacy["cached"])
    )
    torch.set_rng_state(state["torch"])


class Policy:
    """What a trained student does: actions from raw observations, deterministic unless asked.

    Normalisation is frozen and recurrent state is kept.
    """

    def __init__(
        self, model: BaseAlgorithm, normalizer: VecNormalize | None, deterministic: bool = True
    ) -> None:
        self._model = model
        self._normalizer = normalizer
        self._deterministic = deterministic
        self._memory: Any = None

    def act(self, observations: Any, starts: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return one action for each observation.

        Args:
            observations: Raw, ``(n, ...)``.
            starts: ``(n,)``, True where an episode begins (recurrent students forget there).
        """
        if self._normalizer is not None:
            observations = self._normalizer.normalize_obs(observations)
        if starts is not None and starts.all():
            self._memory = None
        actions, self._memory = self._model.predict(
            observations,
            state=self._memory,
            episode_start=starts,
            deterministic=self._deterministic,
        )
        return np.asarray(actions)


class _SafePoints(BaseCallback):
    """Calls back where the whole state is in plain sight: before a rollout, after the updates."""

    def __init__(self, student: SB3Student, at_safe_point: SafePoint) -> None:
        super().__init__()
        self._student = student
        self._at_safe_point = at_safe_point

    def _on_rollout_start(self) -> None:
        if self._student.restored is not None:
            # Building and setting up the model has drawn from the generators in between.
            self._student.restore_randomness()
            return
        self._at_safe_point()

    def _on_step(self) -> bool:
        return True


class _Scalars(KVWriter):
    """What the algorithm logs, as far as it is scalars that TensorBoard would get."""

    def __init__(self, write: Callable[[Mapping[str, float], int], None]) -> None:
        self._write = write

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        self._write(
            {
                name: float(value)
                for name, value in key_values.items()
                if isinstance(value, (int, float, np.number))
                and "tensorboard" not in (key_excluded.get(name) or ())
            },
            step,
        )

    def close(self) -> None:
        pass


class SB3Student:
    """An algorithm of Stable-Baselines3 or sb3-contrib on a curriculum's vector environment.

    Args:
        name: As ``currgym list students`` shows it.
        venv: The SB3 form of the environments (:func:`currgym.sb3.wrap`).
        seed: Of network and exploration.
        normalize: What the student normalises for itself: ``"both"`` observations and rewards,
            ``"obs"``, ``"reward"`` or ``"none"``; None takes both on-policy and none off-policy.
            Teachers, mastery and evaluations see raw returns all the same.
        net_arch: Hidden layers of actor and critic; None for the algorithm's own.
        activation: ``"tanh"`` or ``"relu"``; None for the algorithm's own.
        action_noise: Standard deviation of normal exploration noise (off-policy, continuous).
        **parameters: The algorithm's own.

    Raises:
        TypeError: For an unknown parameter (the nearest valid ones are named).
    """

    def __init__(
        self,
        name: str,
        venv: CurriculumVecEnv,
        *,
        seed: int = 0,
        normalize: str | None = None,
        net_arch: list[int] | None = None,
        activation: str | None = None,
        action_noise: float | None = None,
        **parameters: Any,
    ) -> None:
        entry = students[name]
        cls: type[BaseAlgorithm] = entry.load()
        if not issubclass(cls, BaseAlgorithm):
            raise ValueError(f"student {name!r} is no algorithm of Stable-Baselines3's")
        check_arguments(parameters, self.parameters(name), f"student {name!r}")
        self.name = name
        on_policy = "n_steps" in inspect.signature(cls.__init__).parameters and not hasattr(
            cls, "save_replay_buffer"
        )
        normalize = normalize or ("both" if on_policy else "none")
        if normalize not in ("both", "obs", "reward", "none"):
            raise ValueError(f"normalize must be both, obs, reward or none, got {normalize!r}")
        self.exact = entry.exact and not parameters.get("use_sde", False)
        policy_kwargs = dict(parameters.pop("policy_kwargs", None) or {})
        if net_arch is not None:
            policy_kwargs["net_arch"] = list(net_arch)
        if activation is not None:
            functions = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
            if activation not in functions:
                raise ValueError(f"activation must be tanh or relu, got {activation!r}")
            policy_kwargs["activation_fn"] = functions[activation]
        if action_noise is not None:
            shape = venv.action_space.shape or (1,)
            parameters["action_noise"] = NormalActionNoise(
                np.zeros(shape), np.full(shape, float(action_noise))
            )
        self.venv = venv
        env: VecEnv = venv
        self.normalizer: VecNormalize | None = None
        if normalize != "none":
            has_numbers, keys = _normalizable(venv.observation_space)
            self.normalizer = env = VecNormalize(
                venv,
                norm_obs=has_numbers and normalize in ("both", "obs"),
                norm_reward=normalize in ("both", "reward"),
                gamma=parameters.get("gamma", 0.99),
                norm_obs_keys=keys,
            )
        kind = "MultiInput" if isinstance(venv.observation_space, spaces.Dict) else "Mlp"
        policy = f"{kind}{'Lstm' if 'recurrent' in name else ''}Policy"
        try:
            self.model = cls(
                policy, env, seed=seed, device="cpu", policy_kwargs=policy_kwargs or None,
                **parameters,
            )  # fmt: skip
        except AssertionError as error:
            # How Stable-Baselines3 says that an algorithm does not suit an environment.
            raise ValueError(f"student {name!r} does not fit this environment: {error}") from error
        self.restored: Mapping[str, Any] | None = None
        self._values: Callable[[Any], NDArray[np.float64]] | None = None
        critic = getattr(self.model, "critic", None)
        optimizer = getattr(critic, "optimizer", None) or self.model.policy.optimizer
        self.meter = OptimizerMeter(optimizer)
        """Of its optimiser (the critic's, where there are two)."""

    @classmethod
    def parameters(
        cls, name: str, given: Mapping[str, Any] | None = None
    ) -> dict[str, inspect.Parameter]:
        """Return the hyperparameters of an algorithm (its own first).

        Args:
            name: As it is registered.
            given: What is chosen already; it decides nothing here.
        """
        found = {
            key: p
            for key, p in inspect.signature(students[name].load().__init__).parameters.items()
            if key not in _PLUMBING and key not in ("action_noise", "kwargs")
        }
        own = inspect.signature(SB3Student.__init__, eval_str=True).parameters
        return {**found, **{key: own[key] for key in _OWN}}

    @classmethod
    def on(
        cls,
        name: str,
        environments: Environments,
        curriculum: Curriculum,
        *,
        seed: int,
        **parameters: Any,
    ) -> SB3Student:
        """Build it as a run does: see :meth:`currgym.students.base.RLStudent.on`."""
        venv = sb3.wrap(environments(), curriculum, keep_actions=True)
        student = cls(name, venv, seed=seed, **parameters)
        student.attach(venv)
        return student

    @property
    def venvs(self) -> dict[str, CurriculumVecEnv]:
        """Its environments, under the role ``""``."""
        return {"": self.venv}

    @property
    def ledger(self) -> Ledger:
        """What has been spent, unfinished episodes and gradient updates included."""
        ledger = self.venv.ledger
        ledger.updates = self.updates
        return ledger

    @property
    def updates(self) -> int:
        """Gradient updates so far: steps of the optimiser (the critic's, where there are two)."""
        return self.meter.updates

    @property
    def gamma(self) -> float:
        """Its discount."""
        return float(getattr(self.model, "gamma", 0.99))

    @property
    def gae_lambda(self) -> float:
        """Trace parameter of its advantages; 0.95 for those that have none."""
        return float(getattr(self.model, "gae_lambda", 0.95))

    def attach(self, venv: CurriculumVecEnv) -> None:
        """Let a curriculum count as this student does: its discount, traces and value estimates."""
        venv.core.gamma, venv.core.gae_lambda = self.gamma, self.gae_lambda
        venv.attach(self.model)

    def value_function(self) -> Callable[[Any], NDArray[np.float64]]:
        """Return its state values of raw observations, in raw reward.

        Raises:
            ValueError: If it has none.
        """
        return value_function(self.model, self.venv)

    def estimate(self, observations: Any) -> float:
        """Return the value estimate of a batch of one raw observation, in raw reward."""
        if self._values is None:
            self._values = self.value_function()
        return float(self._values(observations)[0])

    @property
    def steps(self) -> int:
        """Environment steps that it has learned from."""
        return int(self.model.num_timesteps)

    @property
    def rollout(self) -> int:
        """Environment steps it collects before it learns, of which the last may exceed a budget."""
        if self.replay is not None:
            return 1  # a few steps at most
        steps: int = self.model.n_steps  # type: ignore[attr-defined]
        return steps * self.venv.num_envs

    def log_to(self, write: Callable[[Mapping[str, float], int], None]) -> None:
        """Send the algorithm's scalars there: called with names and values, and the step."""
        self.model.set_logger(Logger(None, [_Scalars(write)]))

    def learn(self, steps: int, at_safe_point: SafePoint) -> None:
        """Train until ``steps`` in all have been taken (a whole rollout may go beyond).

        Args:
            steps: The budget, counted from the run's beginning.
            at_safe_point: Called before each rollout, when nothing is half done; an exception from
                it ends the training.
        """
        left = steps - self.steps
        if left <= 0:
            return
        self.model.learn(
            left,
            callback=_SafePoints(self, at_safe_point),
            # Later calls go on: counters stay, and so do the running episodes.
            reset_num_timesteps=self.restored is None and self.steps == 0,
        )

    def begin_episodes(self) -> None:
        """Start new episodes everywhere and put the generators where the saved state had them."""
        env = self.model.env
        assert env is not None
        self.restore_randomness()
        self.model._last_obs = env.reset()  # type: ignore[assignment]
        self.model._last_episode_starts = np.ones((env.num_envs,), dtype=bool)
        if self.normalizer is not None:
            self.model._last_original_obs = self.normalizer.get_original_obs()

    def reseed(self, seed: int) -> None:
        """Draw exploration and minibatches from this seed from now on."""
        self.model.set_random_seed(seed)

    def policy(self, deterministic: bool = True) -> Policy:
        """Return its behaviour at present; without ``deterministic`` as it explores in training."""
        return Policy(self.model, self.normalizer, deterministic)

    def values(self, observations: Any) -> NDArray[np.float64] | None:
        """Return its value estimates of raw observations, or None where it has no state values."""
        predict = getattr(self.model.policy, "predict_values", None)
        if predict is None:
            return None
        if self.normalizer is not None:
            observations = self.normalizer.normalize_obs(observations)
        with torch.no_grad():
            tensor, _ = self.model.policy.obs_to_tensor(observations)
            estimates = predict(tensor)
        return np.asarray(estimates.cpu().numpy()[:, 0], dtype=np.float64)

    @property
    def replay(self) -> ReplayBuffer | None:
        """The replay buffer, for those that have one; it is saved apart, in pieces."""
        return getattr(self.model, "replay_buffer", None)

    def state_dict(self) -> dict[str, Any]:
        """Return all but the replay buffer; valid at a safe point only."""
        model = self.model
        state: dict[str, Any] = {
            "torch": {"parameters": model.get_parameters(), "ent_coef": _entropy(model)},
            "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
            "meter": self.meter.state_dict(),
            "randomness": global_randomness(),
            "action_space": model.action_space.np_random.bit_generator.state,
        }
        for name in ("_last_obs", "_last_episode_starts", "_last_original_obs"):
            value = getattr(model, name, None)
            if value is not None:
                state[name] = value
        if self.normalizer is not None:
            state["normalizer"] = _normalizer_state(self.normalizer)
        return state

    def load_state_dict(self, state: Mapping[str, Any], observations: Any = None) -> None:
        """Go on from a saved state.

        Args:
            state: From :meth:`state_dict`.
            observations: The environments' raw observations now, which must equal the saved ones;
                None skips the check (a policy that will only act).
        """
        model = self.model
        model.set_parameters(state["torch"]["parameters"], exact_match=True)
        entropy = state["torch"]["ent_coef"]
        if entropy is not None:
            with torch.no_grad():
                model.log_ent_coef.copy_(entropy)  # type: ignore[attr-defined]
        self.meter.load_state_dict(state["meter"])
        for name in _COUNTERS:
            if name in state["counters"]:
                setattr(model, name, type(getattr(model, name))(state["counters"][name]))
        for name in ("_last_obs", "_last_episode_starts", "_last_original_obs"):
            if name in state:
                setattr(model, name, _copied(state[name]))
        if self.normalizer is not None:
            _load_normalizer(self.normalizer, state["normalizer"])
        if observations is not None and self.normalizer is None:
            self._check_observations(observations, state["_last_obs"])
        model.ep_info_buffer = model.ep_success_buffer = None
        self.restored = {"randomness": state["randomness"], "action_space": state["action_space"]}
        with guarded_randomness():  # what does not fit shows here, not in the middle of training
            set_global_randomness(state["randomness"])
        model.action_space.np_random.bit_generator.state = state["action_space"]

    def environments_state(self) -> dict[str, Any]:
        """Return the running episodes, the curriculum and the teacher."""
        return self.venv.state_dict()

    def restore_environments(self, state: Mapping[str, Any]) -> Any:
        """Go on within the saved episodes; return the present observations."""
        return self.venv.restore(state)

    def close(self) -> None:
        """Close its environments."""
        self.venv.close()

    def policy_state(self) -> dict[str, Any]:
        """Return what its deterministic behaviour needs, and nothing that only learning does."""
        kept = {
            name: value.detach().clone()
            for name, value in self.model.policy.state_dict().items()
            if not name.startswith(_ONLY_LEARNING)
        }
        state: dict[str, Any] = {"torch": {"policy": kept}}
        if self.normalizer is not None:
            state["normalizer"] = _observation_moments(self.normalizer)
        return state

    def load_policy_state(self, state: Mapping[str, Any]) -> None:
        """Behave as when :meth:`policy_state` was taken; learning cannot go on from there."""
        self.model.policy.load_state_dict(state["torch"]["policy"], strict=False)
        if self.normalizer is not None:
            _load_observation_moments(self.normalizer, state["normalizer"])

    @staticmethod
    def _check_observations(now: Any, saved: Any) -> None:
        pairs = [(now[k], saved[k]) for k in saved] if isinstance(saved, dict) else [(now, saved)]
        if not all(np.array_equal(a, b) for a, b in pairs):
            raise RuntimeError(
                "the environments did not come back to where the checkpoint left them: they are "
                "not deterministic given task, seed and actions"
            )

    def restore_randomness(self) -> None:
        """Put all generators where the checkpoint found them (called at the same safe point)."""
        if self.restored is not None:
            set_global_randomness(self.restored["randomness"])
            self.model.action_space.np_random.bit_generator.state = self.restored["action_space"]
            self.restored = None


def _normalizable(space: spaces.Space[Any]) -> tuple[bool, list[str] | None]:
    """Return whether observations have numbers to normalise, and of a dict, which parts."""
    if not isinstance(space, spaces.Dict):
        return isinstance(space, spaces.Box), None
    names = [
        name
        for name, part in space.items()
        if isinstance(part, spaces.Box) and np.issubdtype(part.dtype, np.floating)
    ]
    return bool(names), names


def _entropy(model: BaseAlgorithm) -> torch.Tensor | None:
    value = getattr(model, "log_ent_coef", None)
    return None if value is None else value.detach().clone()


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: np.array(v) for k, v in value.items()}
    return np.array(value)


def _moments(rms: RunningMeanStd) -> dict[str, Any]:
    return {"mean": np.array(rms.mean), "var": np.array(rms.var), "count": float(rms.count)}


def _load_moments(rms: RunningMeanStd, state: Mapping[str, Any]) -> None:
    rms.mean, rms.var = np.array(state["mean"]), np.array(state["var"])
    rms.count = state["count"]


def _normalizer_state(normalizer: VecNormalize) -> dict[str, Any]:
    state: dict[str, Any] = {
        "ret": _moments(normalizer.ret_rms),
        "returns": np.array(normalizer.returns),
        "old_reward": np.array(normalizer.old_reward),
    }
    return state | _observation_moments(normalizer)


def _observation_moments(normalizer: VecNormalize) -> dict[str, Any]:
    rms = getattr(normalizer, "obs_rms", None)
    if isinstance(rms, dict):
        return {"obs_by_key": {key: _moments(value) for key, value in rms.items()}}
    return {} if rms is None else {"obs": _moments(rms)}


def _load_normalizer(normalizer: VecNormalize, state: Mapping[str, Any]) -> None:
    _load_moments(normalizer.ret_rms, state["ret"])
    normalizer.returns = np.array(state["returns"])
    normalizer.old_reward = np.array(state["old_reward"])
    _load_observation_moments(normalizer, state)


def _load_observation_moments(normalizer: VecNormalize, state: Mapping[str, Any]) -> None:
    if "obs_by_key" in state:
        for key, value in state["obs_by_key"].items():
            _load_moments(normalizer.obs_rms[key], value)
    elif "obs" in state:
        _load_moments(normalizer.obs_rms, state["obs"])  # type: ignore[arg-type]
