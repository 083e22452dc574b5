"""Stable-Baselines3 students: built by name, normalised, saved and restored bit for bit."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from currgym.registry import check_arguments
from currgym.students import students

__all__ = ["Policy", "SB3Student", "guarded_randomness", "student_parameters"]

SafePoint = Callable[[], None]
_OWN = ("normalize", "net_arch", "activation", "action_noise")
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


def student_parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the hyperparameters of a student (the algorithm's own first)."""
    found = {
        key: p
        for key, p in inspect.signature(students[name].load().__init__).parameters.items()
        if key not in _PLUMBING and key not in ("action_noise", "kwargs")
    }
    own = inspect.signature(SB3Student.__init__, eval_str=True).parameters
    return {**found, **{key: own[key] for key in _OWN}}


@contextmanager
def guarded_randomness() -> Iterator[None]:
    """Leave Python's, NumPy's and torch's global generators as they were found."""
    saved = _global_randomness()
    try:
        yield
    finally:
        _set_global_randomness(saved)


def _global_randomness() -> dict[str, Any]:
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


def _set_global_randomness(state: Mapping[str, Any]) -> None:
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
        venv: VecEnv,
        *,
        seed: int = 0,
        normalize: str | None = None,
        net_arch: list[int] | None = None,
        activation: str | None = None,
        action_noise: float | None = None,
        **parameters: Any,
    ) -> None:
        entry = students[name]
        if entry.kind != "rl":
            raise ValueError(f"student {name!r} is {entry.kind}; environments need an 'rl' student")
        check_arguments(parameters, student_parameters(name), f"student {name!r}")
        cls: type[BaseAlgorithm] = entry.load()
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
            self.normalizer = env = VecNormalize(
                venv,
                norm_obs=normalize in ("both", "obs"),
                norm_reward=normalize in ("both", "reward"),
                gamma=parameters.get("gamma", 0.99),
            )
        lstm = "recurrent" in name
        policy = "MlpLstmPolicy" if lstm else "MlpPolicy"
        try:
            self.model = cls(
                policy, env, seed=seed, device="cpu", policy_kwargs=policy_kwargs or None,
                **parameters,
            )  # fmt: skip
        except AssertionError as error:
            # How Stable-Baselines3 says that an algorithm does not suit an environment.
            raise ValueError(f"student {name!r} does not fit this environment: {error}") from error
        self.restored: Mapping[str, Any] | None = None
        self.updates = 0
        """Gradient updates so far: steps of the optimiser (the critic's, where there are two)."""
        critic = getattr(self.model, "critic", None)
        optimizer = getattr(critic, "optimizer", None) or self.model.policy.optimizer
        optimizer.register_step_post_hook(self._count_update)

    def _count_update(self, *_: Any) -> None:
        self.updates += 1

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

    def log_to(self, folder: str) -> None:
        """Write the algorithm's scalars as TensorBoard events."""
        from stable_baselines3.common.logger import configure

        self.model.set_logger(configure(folder, ["tensorboard"]))

    def note(self, name: str, value: float) -> None:
        """Write one scalar beside the algorithm's own, at once."""
        for output in self.model.logger.output_formats:
            output.write({name: value}, {name: ()}, self.steps)

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
            reset_num_timesteps=self.restored is None,
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
            "updates": self.updates,
            "randomness": _global_randomness(),
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
        self.updates = int(state["updates"])
        for name, value in state["counters"].items():
            setattr(model, name, value)
        for name in ("_last_obs", "_last_episode_starts", "_last_original_obs"):
            if name in state:
                setattr(model, name, _copied(state[name]))
        if self.normalizer is not None:
            _load_normalizer(self.normalizer, state["normalizer"])
        if observations is not None and self.normalizer is None:
            self._check_observations(observations, state["_last_obs"])
        model.ep_info_buffer = model.ep_success_buffer = None
        self.restored = {"randomness": state["randomness"], "action_space": state["action_space"]}

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
            _set_global_randomness(self.restored["randomness"])
            self.model.action_space.np_random.bit_generator.state = self.restored["action_space"]
            self.restored = None


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
    rms = getattr(normalizer, "obs_rms", None)
    if isinstance(rms, dict):
        state["obs_by_key"] = {key: _moments(value) for key, value in rms.items()}
    elif rms is not None:
        state["obs"] = _moments(rms)
    return state


def _load_normalizer(normalizer: VecNormalize, state: Mapping[str, Any]) -> None:
    _load_moments(normalizer.ret_rms, state["ret"])
    normalizer.returns = np.array(state["returns"])
    normalizer.old_reward = np.array(state["old_reward"])
    if "obs_by_key" in state:
        for key, value in state["obs_by_key"].items():
            _load_moments(normalizer.obs_rms[key], value)
    elif "obs" in state:
        _load_moments(normalizer.obs_rms, state["obs"])  # type: ignore[arg-type]
