from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest

import currgym
from currgym import BoxTasks, DiscreteTasks, Outcomes, ParameterizedEnv, make_teacher
from currgym.teachers.start_buffer import StartBuffer

SPACE = BoxTasks([0.0], [10.0], names=["start"])


def build(space: Any = SPACE, **parameters: Any) -> StartBuffer:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "initial": [[5.0]] if space is SPACE else None, **parameters}
    return cast(StartBuffer, make_teacher("start-buffer", space, **settings))


def tell(teacher: StartBuffer, reached: Any, tasks: Any = None) -> None:
    tasks = np.full((len(reached), 1), 5.0) if tasks is None else tasks
    teacher.update(
        Outcomes(tasks, np.zeros(len(tasks)), scores={"reached.start": np.array(reached)})
    )


def test_trace_of_the_buffer_and_its_draws() -> None:
    """Worked by hand: the latest four, a share of 0.6, u against running sums of chances."""
    teacher = build(share=0.6, capacity=4)
    tell(teacher, [9.0, 1.0, 12.0])  # the last is outside
    tell(teacher, [2.0, 3.0, 8.0])
    u = np.random.default_rng(0).random((50, 3))
    expected = [
        [1.0, 2.0, 3.0, 8.0][int(4 * which)] if again < 0.6 else 5.0 for again, which, _ in u
    ]
    np.testing.assert_allclose(teacher.sample(50)[:, 0], expected, atol=1e-6)
    assert len(set(expected)) == 5
    np.testing.assert_allclose(teacher.buffer, [[0.1], [0.2], [0.3], [0.8]], atol=1e-6)
    assert (teacher.reached, teacher.outside) == (5, 1)
    np.testing.assert_allclose(teacher.chances, 0.25, atol=1e-6)


def test_trace_of_the_chances_by_count() -> None:
    """Two cells: 1, 2, 3 in one (1 / sqrt(4) = .5), 8 in the other (1 / sqrt(2) = .7071068).

    Sums 1.2071068; so .5 / 1.2071068 / 3 = .1380712 each, and .7071068 / 1.2071068 = .5857864.
    """
    teacher = build(preset="go-explore", cells=2, share=1.0)
    tell(teacher, [1.0, 2.0, 8.0, 3.0])
    np.testing.assert_allclose(
        teacher.chances, [0.1380712, 0.1380712, 0.5857864, 0.1380712], atol=1e-6
    )
    drawn = teacher.sample(4000)[:, 0]
    assert np.mean(drawn == 8.0) == pytest.approx(0.5857864, abs=0.03)


def test_profile_the_starts_follow_what_the_student_reaches() -> None:
    """A student that gets a unit further than where it starts at best: beyond by restarts only."""
    teacher, plain = build(initial=[[0.5]]), build(initial=[[0.5]], share=0.0)
    rng = np.random.default_rng(1)
    edge = {teacher: 0.0, plain: 0.0}
    for _ in range(100):
        for one in edge:
            tasks = one.sample(20)
            known = [0.5, *(one.buffer[:, 0] * 10.0)]
            # Nowhere but at the initial start, or where somebody has been.
            assert np.abs(tasks - known).min(axis=1).max() < 1e-9
            reached = tasks[:, 0] + rng.uniform(-0.4, 1.0, 20)
            edge[one] = max(edge[one], float(reached.max()))
            tell(one, reached, tasks)
    # A share of 0.5 makes chains of restarts of a geometric length: far ones are rare.
    assert edge[teacher] > 3.0
    assert edge[plain] <= 1.5
    assert np.mean(teacher.sample(1000) == 0.5) == pytest.approx(0.5, abs=0.05)


def test_profile_counts_reach_the_edge_sooner() -> None:
    """Steps are short, so most reached states lie around the initial start."""

    def far(seed: int, selection: str) -> float:
        teacher = build(initial=[[0.5]], seed=seed, selection=selection, cells=50, share=0.8)
        rng = np.random.default_rng(seed)
        for _ in range(40):
            tasks = teacher.sample(20)
            tell(teacher, tasks[:, 0] + rng.normal(0.0, 0.3, 20), tasks)
        return float(teacher.buffer.max())

    gains = [far(seed, "count") - far(seed, "uniform") for seed in range(1000, 1012)]
    assert np.mean(np.array(gains) > 0.0) > 0.7


def test_other_dimensions_come_from_the_episode_that_reached_the_state() -> None:
    space = BoxTasks([0.0, 0, 7.0], [1.0, 3, 7.0], ["x", "level", "fixed"],
                     ["real", "integer", "real"])  # fmt: skip
    teacher = build(space, starts=["x"], share=1.0)
    assert teacher.needs == {"reached.x"}
    teacher.update(
        Outcomes([[0.1, 2, 7.0], [0.2, 3, 7.0]], [0, 0], scores={"reached.x": [0.6, 0.7]})
    )
    assert {tuple(task) for task in teacher.sample(50)} == {(0.6, 2, 7.0), (0.7, 3, 7.0)}


def test_whole_numbers_must_be_whole() -> None:
    space = BoxTasks([0], [9], ["cell"], ["integer"])
    for where in (space, DiscreteTasks(10, difficulty=np.arange(10))):
        teacher = build(where, share=1.0)
        score = {f"reached.{where.names[0]}": [3.0, 4.5, -1.0, 10.0, 8.0]}
        tasks = where.sample(5, np.random.default_rng(0))
        teacher.update(Outcomes(tasks, np.zeros(5), scores=score))
        assert {int(task) for task in teacher.sample(50).ravel()} == {3, 8}
        assert teacher.outside == 3


def test_it_begins_with_the_initial_distribution() -> None:
    assert np.unique(build().sample(100)).tolist() == [5.0]
    uniform = build(initial=None).sample(2000)
    assert uniform.std() == pytest.approx(10 / np.sqrt(12), rel=0.1)
    assert build().privileges == {"initial"}
    assert build(initial=None).privileges == frozenset()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"share": 1.1}, r"share must lie in \[0, 1\]"),
        ({"selection": "td"}, "selection must be one of"),
        ({"capacity": 0}, "capacity must be at least 1"),
        ({"cells": 0}, "cells must be at least 1"),
        ({"initial": [[11.0]]}, "start"),
        ({"starts": ["goal"]}, "starts must be names of"),
        ({"starts": "start"}, "starts must be names of"),
        ({"starts": []}, "starts must name a dimension that varies"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(**settings)


# Environments ------------------------------------------------------------------------------------


class Walk(gymnasium.Env[Any, Any]):
    """Somebody else's environment: five steps along a line, from where ``x`` is put."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)
    scores: tuple[str, ...] = ("reached.x",)
    x = 0.0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = 5
        return np.array([self.x]), {}

    def step(self, action: Any) -> Any:
        self.x += float(action[0])
        self.left -= 1
        return np.array([self.x]), 0.0, self.left == 0, False, {"reached.x": self.x}


def walking(told: bool = True) -> ParameterizedEnv:
    walk = Walk()
    if not told:
        walk.scores = ()

    def apply(env: Any, task: dict[str, Any]) -> None:
        env.unwrapped.x = task["x"]

    return ParameterizedEnv(walk, BoxTasks([-9.0], [9.0], ["x"]), apply, mastery=0.5)


def test_it_works_with_anybodys_environment_that_tells() -> None:
    vec = currgym.CurriculumVectorEnv(
        gymnasium.vector.SyncVectorEnv([walking, walking]), "start-buffer", seed=0, initial=[[0.0]]
    )
    teacher = cast(StartBuffer, vec.teacher)
    vec.reset()
    for _ in range(40):
        vec.step(np.ones((2, 1)))
    assert {0.0, 5.0} <= {float(start) for start in teacher.sample(200)[:, 0]}
    # A walk from 5 leads to 10, which is no start.
    assert teacher.outside > 0


def test_an_environment_that_does_not_tell_is_refused_with_what_to_do() -> None:
    vec = gymnasium.vector.SyncVectorEnv([lambda: walking(told=False)])
    with pytest.raises(ValueError, match=r"needs reached\.x.*attribute `scores`"):
        currgym.CurriculumVectorEnv(vec, "start-buffer", seed=0)


@pytest.mark.parametrize("preset", [None, "go-explore"])
def test_a_run_is_explained_and_drawn(preset: str | None, tmp_path: Path) -> None:
    from currgym.report.data import load
    from currgym.report.maps import view_of
    from currgym.report.models import teacher_model
    from currgym.runs import Run, RunConfig, explain, rebuild_teacher

    config = RunConfig(
        "MountainCarContinuous-v0", "start-buffer", "ppo", steps=1200, num_envs=4, seed=1,
        preset=preset, test_tasks=2, test_seeds=1, evaluate_every=1200, keep_policies=0,
        env_parameters={
            "max_episode_steps": 30,
            "tasks": {
                "power": 0.0015, "goal_position": 0.45, "start_spread": 0.0,
                "start_position": (-1.0, 0.4), "start_velocity": (-0.07, 0.07),
            },
        },
        teacher_parameters={"starts": ["start_position", "start_velocity"]},
        student_parameters={"n_steps": 100, "batch_size": 100, "n_epochs": 1},
    )  # fmt: skip
    run = Run.create(config, tmp_path / "run")
    run.train()
    rebuilt = cast(StartBuffer, rebuild_teacher(run.folder))
    assert rebuilt.reached > 20
    found = explain(run.folder, 35)
    known = found.snapshot["tasks"]
    assert len(known) == found.snapshot["remembered"] > 10
    proposed = [
        [float(explain(run.folder, k).task[name]) for name in ("start_position", "start_velocity")]
        for k in range(25, 40)
    ]
    everything = rebuilt.space.from_unit(rebuilt.buffer)
    columns = [rebuilt.space.names.index(f"start_{name}") for name in ("position", "velocity")]
    again = [row for row in proposed if row in everything[:, columns].tolist()]
    assert 3 <= len(again) <= 13
    study = load(run.folder)
    view = view_of(study)
    assert view is not None
    model = teacher_model(study.example.snapshots[-1], view)
    assert model.kept.shape == (min(rebuilt.reached, 1000), 2)
