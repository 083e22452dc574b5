"""Speed: what the curriculum layer costs, and how fast the environments and the students run.

    python experiments/speed.py                  # everything
    python experiments/speed.py --only layer     # one of the measurements below

Every comparison alternates its two sides in one process, many times over, and reports the median,
so that a busy machine disturbs both sides alike. Longer stretches are timed by the process's own
clock (one thread), which is the wall's on an idle machine. Results go to
``experiments/results/speed.json``, one entry a measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

import currgym

RESULTS = Path(__file__).parent / "results"
Result = dict[str, Any]


def spread(values: list[float]) -> Result:
    """Return the median and the quartiles."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return {
        "median": round(float(median), 2),
        "quartiles": [round(float(low), 2), round(float(high), 2)],
    }


def layer(quick: bool) -> Result:
    """Layer cost an episode: 8 CartPoles bare, against the same under the teacher ``random``.

    Both sides are deterministic, so each is run many times over, in turns, and every single step is
    timed: the median of a step over its repetitions knows nothing of what else the machine did.
    """
    num_envs, steps, repeats = 8, 600, 5 if quick else 41
    actions = np.random.default_rng(0).integers(2, size=(steps, num_envs))

    def run(taught: bool) -> tuple[NDArray[Any], int]:
        vec: Any = SyncVectorEnv([lambda: gymnasium.make("currgym/CartPole-v0")] * num_envs)
        if taught:
            vec = currgym.CurriculumVectorEnv(vec, "random", seed=0)
        vec.reset(seed=0)
        for action in actions[:50]:
            vec.step(action)
        times, episodes = np.empty(steps), 0
        for t, action in enumerate(actions):
            start = time.perf_counter()
            _, _, terminated, truncated, _ = vec.step(action)
            times[t] = time.perf_counter() - start
            episodes += int(np.count_nonzero(terminated | truncated))
        return times, episodes

    bare_times, taught_times = [], []
    bare_episodes = episodes = 0
    for _ in range(repeats):
        times, bare_episodes = run(taught=False)
        bare_times.append(times)
        times, episodes = run(taught=True)
        taught_times.append(times)

    def more(share: float) -> float:
        taught, bare = (
            float(np.quantile(times, share, axis=0).sum()) for times in (taught_times, bare_times)
        )
        return (taught - bare) / episodes * 1e6

    return {
        "what": f"layer cost an episode, SyncVectorEnv of {num_envs} currgym/CartPole-v0, random",
        "unit": "microseconds an episode",
        "median": round(more(0.5), 1),
        "quartiles": [round(more(0.25), 1), round(more(0.75), 1)],
        "bar": "at most 150",
        "passed": more(0.5) <= 150,
        "at_each_steps_fastest": round(more(0.0), 1),
        "bare_microseconds_a_step": round(
            float(np.median(bare_times, axis=0).mean()) / num_envs * 1e6, 1
        ),
        "episodes": {"bare": bare_episodes, "taught": episodes},
        "steps_a_repeat": num_envs * steps,
        "repeats": repeats,
    }


def walker(quick: bool) -> Result:
    """Steps a second of StumpTracks against Gymnasium's BipedalWalker, random actions."""
    steps, repeats = 500 if quick else 2000, 5 if quick else 21
    names = ("currgym/StumpTracks-v0", "BipedalWalker-v3")
    envs = [gymnasium.make(name) for name in names]
    actions = np.random.default_rng(0).uniform(-1, 1, size=(steps, 4)).astype(np.float32)

    def run(env: gymnasium.Env[Any, Any], seed: int) -> float:
        env.reset(seed=seed)
        start = time.process_time()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return steps / (time.process_time() - start)

    for env in envs:
        run(env, 0)
    rates: list[list[float]] = [[], []]
    for k in range(repeats):
        for which in (0, 1) if k % 2 else (1, 0):
            rates[which].append(run(envs[which], k))
    ratios = [ours / theirs for ours, theirs in zip(*rates, strict=True)]
    return {
        "what": f"steps a second, {names[0]} over {names[1]}, random actions, resets included",
        "unit": "ratio",
        **spread(ratios),
        "bar": "at least 1",
        "passed": bool(np.median(ratios) >= 1),
        "steps_per_second": {
            name: round(float(np.median(rate))) for name, rate in zip(names, rates, strict=True)
        },
        "steps_a_repeat": steps,
        "repeats": repeats,
    }


class Diary(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Writes down what every episode was: (task, seed)."""

    def __init__(self, env: gymnasium.Env[Any, Any], pages: list[Any]) -> None:
        super().__init__(env)
        self.pages = pages

    def reset(self, **kwargs: Any) -> Any:
        """Note the queued episode, then begin it."""
        self.pages.append(self.get_wrapper_attr("queued"))
        return self.env.reset(**kwargs)


class Replay(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Plays the episodes of a diary, with no curriculum anywhere."""

    def __init__(self, env: gymnasium.Env[Any, Any], pages: list[Any]) -> None:
        super().__init__(env)
        self.pages = iter(pages)

    def reset(self, **kwargs: Any) -> Any:
        """Begin the next episode of the diary."""
        task, seed = next(self.pages)
        return self.env.reset(seed=seed, options={"task": task})


def share(quick: bool) -> Result:
    """Share of the curriculum layer in a PPO run: StumpTracks, 16 environments, ALP-GMM.

    Two ways. The layer's own clock: time inside ``venv.step`` and ``venv.reset`` minus the time the
    bare vector environment takes in there. And a twin without the layer: SB3's own ``DummyVecEnv``
    whose environments play the very same episodes from a list, so that both runs end with the same
    weights, to the bit, and differ in the layer alone. The two train in turns, a rollout each.
    """
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

    num_envs, rollout = 16, 512
    rollouts, repeats = (2 if quick else 10), (1 if quick else 3)
    torch.set_num_threads(1)

    def student(venv: VecEnv) -> PPO:
        return PPO("MlpPolicy", venv, n_steps=rollout, batch_size=256, seed=0, device="cpu")

    def train(model: PPO, number: int) -> float:
        start = time.process_time()
        model.learn(num_envs * rollout, reset_num_timesteps=number == 0)
        return time.process_time() - start

    def weights(model: PPO) -> NDArray[Any]:
        return torch.cat([p.detach().reshape(-1) for p in model.policy.parameters()]).numpy()

    def make(wrapper: Any, pages: list[Any]) -> Callable[[], Any]:
        return lambda: wrapper(gymnasium.make("currgym/StumpTracks-v0"), pages)

    shares, differences, rates = [], [], []
    episodes = 0
    for _ in range(repeats):
        diaries: list[list[Any]] = [[] for _ in range(num_envs)]
        vec = SyncVectorEnv([make(Diary, pages) for pages in diaries])
        venv = currgym.sb3.wrap(vec, "alp-gmm", seed=0)
        outside = Stopwatch(venv, "step_wait", "reset")
        inside = Stopwatch(venv.core.env, "step", "reset")
        taught = student(venv)
        twin = student(DummyVecEnv([make(Replay, pages) for pages in diaries]))
        for number in range(rollouts):
            before = outside.seconds - inside.seconds
            # Both draw from the global generators: each must find what the other found.
            of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
            long = train(taught, number)
            torch.set_rng_state(of_torch)
            np.random.set_state(of_numpy)  # noqa: NPY002
            short = train(twin, number)
            shares.append(100 * (outside.seconds - inside.seconds - before) / long)
            differences.append(100 * (long - short) / long)
            rates.append(num_envs * rollout / long)
        if not np.array_equal(weights(taught), weights(twin)):
            raise RuntimeError("the twin without the layer did not make the same run")
        episodes += venv.ledger.attempts
    return {
        "what": "share of the curriculum layer in PPO on currgym/StumpTracks-v0, "
        f"{num_envs} environments, alp-gmm",
        "unit": "per cent of the run's time (the layer's own clock)",
        **spread(shares),
        "bar": "at most 3",
        "passed": bool(np.median(shares) <= 3),
        "against_a_twin_without_the_layer": spread(differences),
        "ppo_frames_per_second": spread(rates),
        "episodes": episodes,
        "steps_a_repeat": rollouts * num_envs * rollout,
        "repeats": repeats,
    }


class Stopwatch:
    """Adds up the time spent in some methods of an object."""

    def __init__(self, owner: Any, *names: str) -> None:
        self.seconds = 0.0
        for name in names:
            setattr(owner, name, self._timed(getattr(owner, name)))

    def _timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - start

        return timed


def ppo(quick: bool) -> Result:
    """Frames a second of PPO, updates included: CartPole, natively vectorised."""
    import torch
    from stable_baselines3 import PPO

    num_envs, repeats = 8, 1 if quick else 5
    steps = (1 if quick else 3) * num_envs * 2048
    torch.set_num_threads(1)
    rates = []
    for _ in range(repeats):
        vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=num_envs)
        venv = currgym.sb3.wrap(vec, "alp-gmm", seed=0)
        model = PPO("MlpPolicy", venv, seed=0, device="cpu")
        start = time.process_time()
        model.learn(steps)
        rates.append(steps / (time.process_time() - start))
    return {
        "what": f"PPO with SB3's defaults on currgym/CartPole-v0, {num_envs} environments, alp-gmm",
        "unit": "frames a second, updates included",
        **spread(rates),
        "steps_a_repeat": steps,
        "repeats": repeats,
    }


MEASUREMENTS: dict[str, Callable[[bool], Result]] = {
    "layer": layer,
    "share": share,
    "walker": walker,
    "ppo": ppo,
}


def machine() -> Result:
    """Return what the numbers depend on."""
    packages = ("numpy", "gymnasium", "stable-baselines3", "torch")
    return {
        "cpu": next(
            (
                line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            )
            if Path("/proc/cpuinfo").exists()
            else iter(()),
            platform.processor(),
        ),
        "cores": os.cpu_count(),
        "threads": os.environ["OMP_NUM_THREADS"],
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def readme_row(result: Result) -> dict[str, str]:
    """Return what the README says of a measurement."""
    low, high = result["quartiles"]
    bar = ""
    if "bar" in result:
        bar = f"; the bar, {result['bar']}, is {'' if result['passed'] else 'not '}reached"
    return {
        "what": result["what"],
        "figure": f"{result['median']} {result['unit']} (quartiles {low} to {high}){bar}",
    }


def main() -> None:
    """Run the measurements, print a table and keep the numbers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="repeatable")
    parser.add_argument("--short", action="store_true", help="few repeats: a look, no figures")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for speed.json")
    arguments = parser.parse_args()
    path = arguments.out / "speed.json"
    if arguments.short and arguments.out == RESULTS:
        parser.error("--short is no figure to keep: give another --out")
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if arguments.short:
        print("illustration, no verdict: a few repeats each")
    for name in arguments.only or MEASUREMENTS:
        result = MEASUREMENTS[name](arguments.short)
        kept[name] = {**result, "machine": machine()}
        print(f"{name}: {result['what']}")
        low, high = result["quartiles"]
        print(f"  {result['median']} {result['unit']} (quartiles {low} to {high})", end="")
        if "bar" in result:
            print(f"; bar: {result['bar']}: {'reached' if result['passed'] else 'NOT reached'}")
        else:
            print()
        for key, value in result.items():
            if key not in ("what", "unit", "median", "quartiles", "bar", "passed"):
                print(f"  {key.replace('_', ' ')}: {value}")
        kept["readme"] = [readme_row(kept[name]) for name in MEASUREMENTS if name in kept]
        arguments.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
