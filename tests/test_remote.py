"""One curriculum over Ray workers: what travels, and that it makes no difference."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import currgym
from currgym import BoxTasks, Curriculum, CurriculumVectorEnv, make_teacher
from currgym.remote import Attempts, Player
from currgym.runs import Interrupted, Run, RunConfig

CARTPOLE = "currgym/CartPole-v0"


@pytest.fixture(scope="module")
def ray_here() -> Iterator[Any]:
    """A small Ray of our own, to which all that follows connects."""
    pytest.importorskip("ray")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from currgym.remote.connection import ray

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=80 * 1024**2,
        log_to_driver=False,
    )  # fmt: skip
    yield ray
    ray.shutdown()


def behave() -> Callable[[Any], int]:
    return lambda observation: int(observation[2] > 0)


def curriculum(lag: int | None) -> Curriculum:
    space = currgym.task_space(gymnasium.make(CARTPOLE))
    teacher = make_teacher("alp-gmm", space, seed=0, fit_period=20, return_range=(0, 500))
    return Curriculum(teacher, seed=1, ordered=lag is not None, lag=lag)


def play_cartpole(folder: Path, workers: int, lag: int | None, attempts: int = 60) -> Curriculum:
    owner = curriculum(lag)
    with Attempts(owner, Player(CARTPOLE, behave), workers, folder=folder) as made:
        made.run(attempts // 2)
        made.run(attempts - attempts // 2)
    return owner


def logs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("episodes.csv", "calls.csv")}


# Whole attempts ----------------------------------------------------------------------------------


def test_attempts_in_this_process_are_a_loop_over_the_curriculum(tmp_path: Path) -> None:
    owner = play_cartpole(tmp_path / "run", workers=0, lag=5)
    assert owner.ledger.attempts == 60
    assert not list(owner.open)
    rows = (tmp_path / "run" / "episodes.csv").read_text().splitlines()
    assert len(rows) == 61
    steps = [int(row.split(",")[3]) for row in rows[1:]]
    assert steps == sorted(steps)
    assert steps[-1] == owner.ledger.steps
    with pytest.raises(FileExistsError, match="another run"):
        Attempts(curriculum(5), Player(CARTPOLE, behave), folder=tmp_path / "run")


def test_the_lag_decides_and_the_config_says_what_can_be_repeated(tmp_path: Path) -> None:
    play_cartpole(tmp_path / "a", workers=0, lag=5)
    play_cartpole(tmp_path / "b", workers=0, lag=5)
    play_cartpole(tmp_path / "c", workers=0, lag=1)
    assert logs(tmp_path / "a") == logs(tmp_path / "b")
    assert logs(tmp_path / "a") != logs(tmp_path / "c")
    said = json.loads((tmp_path / "a" / "config.json").read_text())
    assert (said["ordered"], said["lag"], said["repeatable"]) == (True, 5, True)


def test_requests_are_attempts_too() -> None:
    class Asks(currgym.Teacher):
        needs = frozenset({"probe"})
        probed = 0

        def _sample(self, n: int, rng: np.random.Generator) -> Any:
            return rng.random((n, 1))

        def _requests(self) -> currgym.Proposals | None:
            return currgym.Proposals(np.array([[0.5], [0.25]])) if self.proposed % 3 == 0 else None

        def _update(self, batch: Any) -> None:
            if batch.probe is not None:
                self.probed += int(batch.probe.sum())

        def _state(self) -> dict[str, Any]:
            return {}

        def _load(self, state: Mapping[str, Any]) -> None:
            pass

    teacher = Asks(BoxTasks([0], [1]), seed=0, return_range=(0, 1))
    owner = Curriculum(teacher, ordered=True, lag=4)

    def make() -> Callable[[Any, int], dict[str, float]]:
        return lambda task, seed: {"returns": float(task[0])}

    with Attempts(owner, make) as made:
        made.run(30)
    assert owner.ledger.probes == teacher.probed > 0
    assert owner.ledger.probes + owner.ledger.attempts >= 30


class TestOnRay:
    """Everything that needs workers."""

    pytestmark = pytest.mark.slow

    def test_ordered_attempts_equal_those_of_one_process(
        self, ray_here: Any, tmp_path: Path
    ) -> None:
        here = play_cartpole(tmp_path / "here", workers=0, lag=5)
        there = play_cartpole(tmp_path / "there", workers=2, lag=5)
        assert logs(tmp_path / "here") == logs(tmp_path / "there")
        assert here.ledger == there.ledger
        ours, theirs = here.state_dict(), there.state_dict()
        np.testing.assert_equal(ours, theirs)
        said = json.loads((tmp_path / "there" / "config.json").read_text())
        assert (said["workers"], said["ordered"], said["repeatable"]) == (2, True, True)

    def test_without_order_the_config_says_that_it_is_not_repeatable(
        self, ray_here: Any, tmp_path: Path
    ) -> None:
        owner = play_cartpole(tmp_path / "run", workers=2, lag=None)
        assert owner.ledger.attempts == 60
        said = json.loads((tmp_path / "run" / "config.json").read_text())
        assert (said["ordered"], said["repeatable"]) == (False, False)
        rows = (tmp_path / "run" / "episodes.csv").read_text().splitlines()[1:]
        assert sorted(int(row.split(",")[1]) for row in rows) == list(range(60))

    def test_tasks_travel_out_and_outcomes_back_and_nothing_else(self, ray_here: Any) -> None:
        owner = curriculum(4)
        out: list[tuple[Any, ...]] = []
        back: list[Any] = []
        with Attempts(owner, Player(CARTPOLE, behave), 2) as made:
            hands = made._hands
            hands._actors = [_Wire(actor, out) for actor in hands._actors]
            get = hands.take

            def take() -> Any:
                found = get()
                back.extend(found)
                return found

            hands.take = take
            made.run(20)
            hands._actors = [wire._actor for wire in hands._actors]
        assert len(out) == len(back) == 20
        for name, (task, seed) in out:
            assert name == "attempt"
            assert isinstance(task, np.ndarray)
            assert owner.teacher.space.contains(task[None])[0]  # type: ignore[attr-defined]
            assert type(seed) is int
        for id, columns in back:
            assert type(id) is int
            assert set(columns) == {"returns", "lengths", "terminated", "truncated", "successes"}
            assert all(np.isscalar(value) for value in columns.values())

    def test_an_attempt_whose_worker_dies_is_made_again(
        self, ray_here: Any, tmp_path: Path
    ) -> None:
        def make(times: int, folder: Path) -> Any:
            def mortal() -> Any:
                def attempt(task: Any, seed: int) -> dict[str, float]:
                    deaths = len(list(folder.iterdir()))
                    if 0.4 < task[0] < 0.6 and deaths < times:
                        (folder / str(deaths)).touch()
                        os.kill(os.getpid(), 9)
                    return {"returns": float(task[0])}

                return attempt

            return mortal

        results = []
        for times, workers in ((0, 0), (1, 2)):
            folder = tmp_path / f"deaths-{times}"
            folder.mkdir()
            teacher = make_teacher("alp-gmm", BoxTasks([0], [1]), seed=0, fit_period=10)
            owner = Curriculum(teacher, ordered=True, lag=4)
            with Attempts(owner, make(times, folder), workers) as made:
                made.run(40)
            assert len(list(folder.iterdir())) == times
            results.append(owner.state_dict())
        np.testing.assert_equal(results[0], results[1])
        folder = tmp_path / "deaths-99"
        folder.mkdir()
        owner = Curriculum(make_teacher("random", BoxTasks([0], [1]), seed=0))
        with (
            Attempts(owner, make(99, folder), 1) as made,
            pytest.raises(RuntimeError, match=r"task \[0\.[45].*has lost its worker 3 times"),
        ):
            made.run(40)

    def test_an_attempt_that_fails_names_its_task(self, ray_here: Any) -> None:
        def make() -> Any:
            def attempt(task: Any, seed: int) -> dict[str, float]:
                raise ZeroDivisionError("no such wind")

            return attempt

        owner = Curriculum(make_teacher("random", BoxTasks([0], [1]), seed=0))
        with (
            Attempts(owner, make, 1) as made,
            pytest.raises(RuntimeError, match=r"task \[0\..*failed: ZeroDivisionError.*no such"),
        ):
            made.run(4)

    def test_more_workers_than_cpus_are_refused(self, ray_here: Any) -> None:
        owner = Curriculum(make_teacher("random", BoxTasks([0], [1]), seed=0))
        with pytest.raises(ValueError, match="has 2 CPUs, and 9 workers need one each"):
            Attempts(owner, Player(CARTPOLE, behave), 9)

    # Sub-environments in workers -----------------------------------------------------------------

    @pytest.mark.parametrize("env", [CARTPOLE, "currgym/Acrobot-v0"])
    def test_a_spread_vector_environment_equals_the_local_one(
        self, ray_here: Any, env: str
    ) -> None:
        from currgym.remote import RayVectorEnv

        local = gymnasium.make_vec(env, num_envs=5)
        spread = RayVectorEnv(env, 5, 2)
        assert spread.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
        assert spread.single_observation_space == local.single_observation_space
        assert spread.action_space == local.action_space
        both = [
            CurriculumVectorEnv(vec, "alp-gmm", seed=0, fit_period=5) for vec in (local, spread)
        ]
        rng = np.random.default_rng(0)
        found = [vec.reset() for vec in both]
        _assert_same(*found)
        for _ in range(150):
            actions = rng.integers(2, size=5)
            _assert_same(*(vec.step(actions) for vec in both))
        assert both[0].ledger == both[1].ledger
        assert both[0].ledger.attempts > (3 if env == CARTPOLE else -1)
        ours, theirs = (vec.curriculum.state_dict() for vec in both)
        np.testing.assert_equal(ours, theirs)
        for vec in both:
            vec.close()

    def test_only_tasks_and_actions_go_to_the_environments(self, ray_here: Any) -> None:
        from currgym.remote import RayVectorEnv

        spread = RayVectorEnv(CARTPOLE, 4, 2)
        out: list[tuple[Any, ...]] = []
        spread._chunks = [_Wire(chunk, out) for chunk in spread._chunks]
        vec = CurriculumVectorEnv(spread, "random", seed=0)
        vec.reset()
        for _ in range(60):
            vec.step(np.zeros(4, dtype=np.int64))
        sent = 0
        for name, (queued, *rest) in out:
            assert name in ("reset", "step")
            if queued is not None:
                rows, tasks, seeds = queued
                assert len(rows) == len(tasks) == len(seeds)
                assert {type(value) for value in (*rows, *seeds)} == {int}
                assert vec.task_space.contains(tasks).all()
                sent += len(rows)
            assert rest == [None, None] if name == "reset" else len(rest) == 1
            assert name == "reset" or rest[0].shape == (2,)
        assert sent == vec.curriculum.ledger.attempts + 4 - len(vec._over)
        spread._chunks = [wire._actor for wire in spread._chunks]
        vec.close()

    def test_a_run_with_workers_is_the_same_run(self, ray_here: Any, tmp_path: Path) -> None:
        """And goes on exactly, with workers or without."""
        config: dict[str, Any] = {
            "env": CARTPOLE, "teacher": "alp-gmm", "student": "ppo", "steps": 1024, "num_envs": 4,
            "test_tasks": 2, "test_seeds": 1, "student_parameters": {"n_steps": 64},
            "teacher_parameters": {"fit_period": 10},
        }  # fmt: skip
        local = Run.create(RunConfig(**config), tmp_path / "local")
        local.train()
        spread = Run.create(RunConfig(**config, workers=2), tmp_path / "spread")

        def stop(run: Run) -> None:
            run.stopping = run.steps >= 512

        with pytest.raises(Interrupted):
            spread.train(stop)
        assert 0 < (spread.saved_step or 0) < 1024
        Run.open(tmp_path / "spread").train()
        names = ("episodes.csv", "evaluations.csv", "calls.csv", "snapshots.jsonl")
        for name in names:
            ours, theirs = ((tmp_path / run / name).read_bytes() for run in ("local", "spread"))
            assert ours == theirs, name
        said = json.loads((tmp_path / "spread" / "config.json").read_text())
        assert (said["workers"], said["repeatable"]) == (2, True)

    def test_a_lost_worker_ends_the_run_with_advice(self, ray_here: Any) -> None:
        from currgym.remote import RayVectorEnv

        spread = RayVectorEnv(CARTPOLE, 4, 2)
        spread.reset()
        ray_here.kill(spread._chunks[1])
        with pytest.raises(RuntimeError, match="goes on from its last checkpoint"):
            spread.step(np.zeros(4, dtype=np.int64))
        spread.close()


def test_workers_are_for_environments() -> None:
    with pytest.raises(ValueError, match="workers hold the environments of reinforcement"):
        RunConfig("toy/cube", "random", "cube", steps=10, workers=2)
    with pytest.raises(ValueError, match="need as many sub-environments"):
        RunConfig(CARTPOLE, "random", "ppo", steps=10, num_envs=2, workers=3)


class _Wire:
    """An actor whose calls are noted."""

    def __init__(self, actor: Any, out: list[tuple[Any, ...]]) -> None:
        self._actor, self._out = actor, out

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._actor, name)
        out = self._out

        class Method:
            @staticmethod
            def remote(*arguments: Any) -> Any:
                out.append((name, arguments))
                return method.remote(*arguments)

        return Method


def _assert_same(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    for ours, theirs in zip(a[:-1], b[:-1], strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()
    infos, others = a[-1], b[-1]
    assert set(infos) == set(others)
    for name in infos:
        np.testing.assert_array_equal(infos[name], others[name])
        assert infos[name].dtype == others[name].dtype
