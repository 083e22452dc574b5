"""Reinforcement-learning runs: the ledger, probes, exact resume of each algorithm, the log."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.acrobot import AcrobotEnv

from currgym import BoxTasks, Curriculum, ParameterizedEnv, make_teacher
from currgym.remote import Attempts
from currgym.runs import Interrupted, Run, RunConfig, explain, load_policy, rebuild_teacher
from currgym.runs.checkpoints import Checkpoints
from currgym.runs.session import open_session
from currgym.students import CubeStudent, teach


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.get(name) or importlib.util.module_from_spec(spec)
    if name not in sys.modules:
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


killing = load("killing")
load("probing_teacher")

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"env": "CartPole-v0", "student_parameters": {"n_steps": 32, "batch_size": 32}},
    "sac": {
        "env": "Pendulum-v0",
        "student_parameters": {
            "learning_starts": 100, "batch_size": 16, "net_arch": [8, 8], "buffer_size": 300,
            "train_freq": 4, "gradient_steps": 2,
        },
    },
    "td3": {
        "env": "Pendulum-v0",
        "student_parameters": {
            "learning_starts": 100, "batch_size": 16, "net_arch": [8, 8], "action_noise": 0.1,
        },
    },
    "dqn": {
        "env": "CartPole-v0",
        "student_parameters": {"learning_starts": 100, "batch_size": 16, "net_arch": [8, 8]},
    },
    "recurrent-ppo": {
        "env": "CartPole-v0",
        "student_parameters": {"n_steps": 32, "batch_size": 32, "net_arch": [8]},
    },
    "a2c": {"env": "CartPole-v0", "student_parameters": {}},
    # Half of PPO's rollouts, as there are two of them.
    "pair": {"env": "CartPole-v0", "student_parameters": {"n_steps": 16, "batch_size": 32}},
}  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Run]:
    def create(student: str, name: str = "run", **changes: Any) -> Run:
        """A run so small that its student learns nothing."""
        settings: dict[str, Any] = {
            "teacher": "alp-gmm", "student": student, "steps": 768, "num_envs": 2,
            "teacher_parameters": {"fit_period": 12}, "test_tasks": 2, "test_seeds": 1,
            "evaluate_every": 384, "checkpoint_every": 0.2, **SMALL[student], **changes,
        }  # fmt: skip
        if settings["teacher"] != "alp-gmm":
            settings["teacher_parameters"] = changes.get("teacher_parameters", {})
        return Run.create(RunConfig(**settings), tmp_path / name)

    return create


def stop_at(run: Run, step: int) -> None:
    def watch(running: Run) -> None:
        if running.steps >= step:
            running.stopping = True

    with pytest.raises(Interrupted):
        run.train(watch)


@pytest.mark.parametrize("student", ["ppo", "sac", "td3", "dqn", "pair"])
@pytest.mark.parametrize("normalize", ["none", "both"])
def test_stopped_and_resumed_equals_uninterrupted(
    make: Callable[..., Run], student: str, normalize: str
) -> None:
    parameters = {**SMALL[student]["student_parameters"], "normalize": normalize}
    whole = make(student, "whole", checkpoint_every=1e9, student_parameters=parameters)
    whole.train()
    parted = make(student, "parted", student_parameters=parameters)
    stop_at(parted, 300)
    again = Run.open(parted.folder)
    stop_at(again, 420)
    last = Run.open(parted.folder)
    last.train()
    assert not last.notes
    killing.assert_same_run(whole.folder, parted.folder)


def test_replay_buffer_is_kept_in_pieces_and_pruned(make: Callable[..., Run]) -> None:
    run = make("sac", checkpoint_every=0.0)
    run.train()
    newest, problems = Checkpoints(run.folder).newest()
    assert newest is not None
    assert not problems
    there = {path.name for path in (run.folder / "replay").iterdir()}
    assert set(newest.pieces) <= there
    # 384 rows were written to a buffer of 150 (300 over two environments): old pieces are gone.
    first = min(int(name.split("-")[0]) for name in there)
    assert first > 200


def test_student_without_exact_resume_says_so(make: Callable[..., Run]) -> None:
    run = make("a2c")
    stop_at(run, 300)
    again = Run.open(run.folder)
    again.train()
    assert any("not exact" in note for note in again.notes)


class Counter:
    """Counts every env.step call in the process from outside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        original: Any = AcrobotEnv.step

        def counted(env: Any, action: Any) -> Any:
            self.calls += 1
            return original(env, action)

        monkeypatch.setattr(AcrobotEnv, "step", counted)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("ppo", "test-examiner"), ("dqn", "test-examiner"), ("recurrent-ppo", "test-curious")],
)
def test_probes_of_one_level_agree_and_carry_scores(
    make: Callable[..., Run], student: str, teacher: str
) -> None:
    """Whatever was played before (a recurrent student forgets), and as its own critic says."""
    session: Any = open_session(make(student, teacher=teacher, steps=256).config, None)
    session.train(lambda: None)
    assert session.teacher.probes
    for batch in session.teacher.probes:
        returns = batch.raw_returns.tolist()
        assert batch.probe is not None
        assert batch.probe.all()
        assert returns[0] == returns[1] == returns[3]
        assert batch.lengths[0] == batch.lengths[1] == batch.lengths[3]
        if teacher == "test-examiner":
            pvl = batch.scores["pvl"]
            assert batch.initial_values is not None
            assert batch.initial_values[0] == batch.initial_values[3]
            assert pvl[0] == pvl[1] == pvl[3] != pvl[2]
    session.close()


class Rooms(gymnasium.Env[Any, Any]):
    """Somebody's environment: what is seen has two parts, one of them a number."""

    observation_space = gymnasium.spaces.Dict(
        place=gymnasium.spaces.Box(-1, 1, (2,)), room=gymnasium.spaces.Discrete(3)
    )
    action_space = gymnasium.spaces.Discrete(2)
    gain = 1.0

    def _see(self) -> dict[str, Any]:
        return {"place": self.np_random.random(2, dtype=np.float32), "room": self.now % 3}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.now = 0
        return self._see(), {}

    def step(self, action: Any) -> Any:
        self.now += 1
        return self._see(), self.gain, self.now == 3 + int(self.gain), False, {}


def rooms() -> gymnasium.Env[Any, Any]:
    def apply(env: gymnasium.Env[Any, Any], task: dict[str, Any]) -> None:
        env.unwrapped.gain = task["gain"]  # type: ignore[attr-defined]

    return ParameterizedEnv(Rooms(), BoxTasks([1], [3], ["gain"]), apply, mastery=8.0)


def test_observations_of_several_parts(make: Callable[..., Run]) -> None:
    """Trained on, probed and evaluated, and resumed to the same bytes."""
    gymnasium.register("test/Rooms-v0", entry_point=rooms)  # type: ignore[arg-type]
    try:
        whole = make("ppo", "whole", env="test/Rooms-v0", teacher="test-scout", steps=384)
        whole.train()
        parted = make("ppo", "parted", env="test/Rooms-v0", teacher="test-scout", steps=384)
        stop_at(parted, 192)
        Run.open(parted.folder).train()
        killing.assert_same_run(whole.folder, parted.folder)
        with (whole.folder / "evaluations.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert rows
        for row in rows:
            length, result = int(row["length"]), float(row["return"])
            assert length == 3 + int(result / length)
            assert float(row["success"]) == float(result > 8.0)
    finally:
        gymnasium.registry.pop("test/Rooms-v0")


def test_a_teacher_that_may_ask_is_asked(make: Callable[..., Run]) -> None:
    """Requests are asked for at every safe point; ``needs`` says what it cannot do without."""
    run = make("ppo", teacher="test-curious", steps=128)
    assert run.train()["ledger"]["probes"] > 0


@pytest.mark.parametrize("student", ["ppo", "pair"])
@pytest.mark.parametrize("teacher", ["alp-gmm", "test-scout"])
def test_ledger_equals_an_outside_counter(
    make: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, teacher: str, student: str
) -> None:
    counter = Counter(monkeypatch)
    run = make(student, teacher=teacher, env="Acrobot-v0", steps=1280)
    ledger = run.train()["ledger"]
    spent = sum(
        ledger[name] for name in ("steps", "probe_steps", "cancelled_steps", "evaluation_steps")
    )
    assert counter.calls == spent
    assert (ledger["probes"] > 0) == (teacher == "test-scout")
    # Two probes of 500 steps at most, and a rollout, may go beyond the budget that they share.
    most = 1280 + (2 * 500 + 64 if ledger["probes"] else 0)
    assert 1280 <= ledger["steps"] + ledger["probe_steps"] <= most


def test_probes_are_paid_from_the_budget(make: Callable[..., Run]) -> None:
    """Who asks for probes trains on less; as soon as both have used it up, the run ends."""
    run = make("ppo", teacher="test-examiner")  # four probes before every rollout of 64 steps
    ledger = run.train()["ledger"]
    with (run.folder / "probes.csv").open() as file:
        lengths = [int(row["length"]) for row in csv.DictReader(file)]
    assert sum(lengths) == ledger["probe_steps"] > 64
    assert ledger["steps"] < 768 <= ledger["steps"] + sum(lengths)
    assert ledger["steps"] - 64 + sum(lengths[:-4]) < 768  # when the last rollout was begun


def test_probes_reach_the_teacher_and_no_gradient(make: Callable[..., Run]) -> None:
    run = make("ppo", teacher="test-scout", checkpoint_every=1e9)
    summary = run.train()
    with (run.folder / "probes.csv").open() as file:
        probes = list(csv.DictReader(file))
    assert len(probes) == summary["ledger"]["probes"] > 0
    parted = make("ppo", "parted", teacher="test-scout")
    stop_at(parted, 384)
    Run.open(parted.folder).train()
    killing.assert_same_run(run.folder, parted.folder)


@pytest.mark.parametrize(
    "teacher", ["alp-gmm", "test-scout", "test-examiner", "test-curious", "uniform-steps", "window"]
)
def test_log_rebuilds_the_teacher(make: Callable[..., Run], teacher: str) -> None:
    run = make("ppo", teacher=teacher)
    run.train()
    newest, _ = Checkpoints(run.folder).newest()
    assert newest is not None
    saved = newest.state()["session"]["environments"]["curriculum"]["teacher"]
    rebuilt = rebuild_teacher(run.folder).state_dict()
    assert killing.first_difference(rebuilt, saved) is None


MAZE: dict[str, Any] = {
    "env": "GridMaze-v0", "env_parameters": {"size": 7},
    "student_parameters": {"n_steps": 64, "batch_size": 64, "n_epochs": 2}, "steps": 1280,
    "evaluate_every": 640,
}  # fmt: skip


@pytest.mark.parametrize("teacher", ["paired", "plr", "accel"])
def test_whoever_designs_for_a_pair(make: Callable[..., Run], teacher: str) -> None:
    """Stopped and resumed to the same bytes, and rebuilt from the log."""
    # A hundred levels, ACCEL's usual first ones, would take all of so small a budget.
    few = {"teacher_parameters": {"warmup": 10}} if teacher == "accel" else {}
    whole = make("pair", "whole", teacher=teacher, checkpoint_every=1e9, **MAZE, **few)
    ledger = whole.train()["ledger"]
    assert ledger["steps"] + ledger["probe_steps"] >= 1280
    assert ledger["attempts"] > 2
    assert (ledger["probes"] > 0) == (teacher == "accel")
    parted = make("pair", "parted", teacher=teacher, **MAZE, **few)
    stop_at(parted, 256)
    last = Run.open(parted.folder)
    last.train()
    assert not last.notes
    killing.assert_same_run(whole.folder, parted.folder)
    newest, _ = Checkpoints(whole.folder).newest()
    assert newest is not None
    saved = newest.state()["session"]["environments"]["curriculum"]["teacher"]
    assert killing.first_difference(rebuild_teacher(whole.folder).state_dict(), saved) is None


def test_what_a_pairs_log_says(make: Callable[..., Run]) -> None:
    run = make("pair", teacher="paired", **MAZE)
    ledger = run.train()["ledger"]
    with (run.folder / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ledger["attempts"]
    # Open tickets, and those that the two are at, make up the rest.
    assert 0 < sum(int(row["length"]) for row in rows) < ledger["steps"] == 1280
    clock = [int(row["step"]) for row in rows]
    assert clock == sorted(clock)
    assert clock[-1] <= 1280
    for row in rows:
        assert -1.0 <= float(row["score.regret"]) <= 1.0 - float(row["return"])
        assert float(row["success"]) in (0.0, 0.5, 1.0)
    # Two epochs of the minibatches of each rollout, and two learners.
    assert ledger["updates"] == 2 * 1280 // 64


def test_who_cannot_design_for_a_pair(make: Callable[..., Run]) -> None:
    """What single episodes tell has no mean; regret is what only a pair can tell."""
    run = make("ppo", teacher="paired", env="GridMaze-v0")
    with pytest.raises(ValueError, match="regret"):
        run.train()


def test_why_proposes_the_very_task(make: Callable[..., Run]) -> None:
    run = make("ppo")
    run.train()
    with (run.folder / "episodes.csv").open() as file:
        episodes = {int(row["id"]): row for row in csv.DictReader(file)}
    with (run.folder / "calls.csv").open() as file:
        sizes = [int(row["count"]) for row in csv.DictReader(file) if row["call"] == "propose"]
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    checked = 0
    for first, size in zip(firsts, sizes, strict=True):
        rows = [episodes[k] for k in range(first, first + size) if k in episodes]
        if len(rows) != size or first < 20:
            continue
        found = explain(run.folder, int(rows[0]["episode"]))
        assert found.ticket == first
        teacher = rebuild_teacher(run.folder, before_ticket=first)
        logged = [[float(r["task.half_length"]), float(r["task.gravity"])] for r in rows]
        assert teacher.sample(size).tolist() == logged
        checked += 1
        if checked == 3:
            break
    assert checked == 3


def test_policy_of_a_finished_run_acts(make: Callable[..., Run]) -> None:
    run = make("ppo")
    run.train()
    policy = load_policy(run.folder)
    observations = np.zeros((3, 4), dtype=np.float32)
    first, second = policy.act(observations), policy.act(observations)
    assert first.shape == (3,)
    assert (first == second).all()


def test_fork_under_another_teacher(make: Callable[..., Run], tmp_path: Path) -> None:
    for student in ("ppo", "sac", "pair"):
        run = make(student, student)
        stop_at(run, 384)
        step = max(int(f.name) for f in (run.folder / "checkpoints").iterdir())
        fork = run.fork(step, tmp_path / f"{student}-fork", "random")
        summary = fork.train()
        assert summary["ledger"]["steps"] == 768 - step
        document = json.loads((fork.folder / "config.json").read_text())
        assert document["teacher"]["name"] == "random"


def test_observing_the_task_is_part_of_the_run(make: Callable[..., Run]) -> None:
    run = make("ppo", env_parameters={"observe_task": True})
    run.train()
    document = json.loads((run.folder / "config.json").read_text())
    assert document["env"]["kwargs"] == {"observe_task": True}


def test_environment_without_tasks_is_refused(make: Callable[..., Run]) -> None:
    run = make("ppo", env="CartPole-v1")
    with pytest.raises(ValueError, match="ParameterizedEnv"):
        run.train()


@pytest.mark.parametrize("name", ["test-curious", "test-scout"])
def test_whoever_may_ask_is_asked_by_toys_too(tmp_path: Path, name: str) -> None:
    """Needed or not; and a teacher that always asks does not keep the student from learning."""
    run = Run.create(RunConfig("toy/cube", name, "cube", 320, num_envs=4), tmp_path / "run")
    ledger = run.train()["ledger"]
    assert ledger["probes"] > 0
    assert ledger["attempts"] >= ledger["probes"]
    assert ledger["attempts"] + ledger["probes"] in range(320, 324)


@pytest.mark.parametrize("name", ["test-curious", "test-scout"])
def test_whoever_may_ask_is_asked_in_every_loop(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    student = CubeStudent(3, 2, seed=0)
    teacher = make_teacher(name, student.task_space, seed=0)
    learned: list[bool] = []
    attempt = student.attempt

    def noted(tasks: Any, learn: bool = True) -> Any:
        learned.extend([learn] * len(tasks))
        return attempt(tasks, learn=learn)

    monkeypatch.setattr(student, "attempt", noted)
    teach(student, teacher, 40, batch=4)
    assert 0 < learned.count(False) <= learned.count(True)

    curriculum = Curriculum(make_teacher(name, student.task_space, seed=0), ordered=True, lag=8)
    with Attempts(curriculum, lambda: lambda task, seed: {"returns": 0.5}) as attempts:
        attempts.run(40)
    assert curriculum.ledger.probes > 0
    assert curriculum.ledger.attempts > 0


def test_whoever_cannot_ask_is_not_asked() -> None:
    """So its log has no line for it."""
    space = BoxTasks([0], [1])
    assert Curriculum(make_teacher("test-curious", space)).may_request
    curriculum = Curriculum(make_teacher("random", space))
    assert not curriculum.may_request
    heard: list[bool] = []
    listener: Any = SimpleNamespace(issued=lambda tickets, probe: heard.append(probe))
    curriculum.recorder = listener
    assert curriculum.requests() is None
    assert heard == []
