"""Grid Maze: levels, solver, view, episode, and the array form."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

import currgym
from currgym.envs.grid_maze import MazeTasks
from currgym.envs.grid_maze.layouts import LAYOUTS
from currgym.envs.grid_maze.solver import Board, distance, shortest_path
from currgym.tasks import space_from_config
from currgym.teaching import Teacher

SMALL = MazeTasks(7)
MAZE = """
#######
#.#...#
#.#.#.#
#>#.#.#
#...#.#
#####G#
#######
"""
# Up, around and down: 1 right turn, 1 step, 1 left turn, 2 steps, 1 left turn, 3 steps, ...
WAY = [1, 2, 0, 2, 2, 0, 2, 2, 2, 1, 2, 2, 1, 2, 2, 2, 2]


def make(**kwargs: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("currgym/GridMaze-v0", **kwargs)


def breadth_first(walls: NDArray[np.bool_], start: Any, direction: int, goal: Any) -> int | None:
    """Return the least number of actions by the plainest search there is."""
    first = (*start, direction)
    seen, queue = {first: 0}, deque([first])
    ways = ((0, 1), (1, 0), (0, -1), (-1, 0))
    while queue:
        row, column, d = here = queue.popleft()
        if (row, column) == goal:
            return seen[here]
        ahead = (row + ways[d][0], column + ways[d][1])
        following = [(row, column, (d + 1) % 4), (row, column, (d - 1) % 4)]
        if not walls[ahead]:
            following.append((*ahead, d))
        for state in following:
            if state not in seen:
                seen[state] = seen[here] + 1
                queue.append(state)
    return None


# Levels ------------------------------------------------------------------------------------------


def test_a_task_worked_by_hand() -> None:
    task = SMALL.parse(MAZE)
    # Column 1 is bit 0: the first row's wall stands in column 2.
    assert task.tolist() == [0b00010, 0b01010, 0b01010, 0b01000, 0b01111, 10, 0, 24]
    assert SMALL.draw(task) == MAZE.strip()
    assert SMALL.walls(task)[0].sum() == 24 + 1 + 2 + 2 + 1 + 4
    assert (SMALL.place(10), SMALL.place(24)) == ((3, 1), (5, 5))
    assert SMALL.distance(task) == len(WAY)
    assert SMALL.as_dict(task)["distance"] == 17


def test_drawings_come_back() -> None:
    for task in SMALL.sample(50, np.random.default_rng(0)):
        np.testing.assert_array_equal(SMALL.parse(SMALL.draw(task)), task)


def test_samples_range_from_empty_to_full() -> None:
    space = MazeTasks(13)
    assert space.max_blocks == 43  # 60 / 169 of 121
    tasks = space.sample(4000, np.random.default_rng(1))
    assert space.contains(tasks).all()
    blocks = space.walls(tasks)[:, 1:-1, 1:-1].sum(axis=(1, 2))
    counts = np.bincount(blocks, minlength=44)
    assert (counts.min() > 0, len(counts)) == (True, 44)
    assert abs(blocks.mean() - 21.5) < 1.0
    share = space.walls(tasks)[:, 1:-1, 1:-1].mean(axis=0)
    assert np.ptp(share) < 0.08  # everywhere alike
    assert np.bincount(tasks[:, -2]).min() > 850
    ways = space.difficulty_of(tasks[:300])
    assert 0.75 < (ways < 4 * space.cells).mean() < 1.0  # some have no way, and are drawn too
    assert SMALL.walls(SMALL.easy(20, np.random.default_rng(0))).sum() == 20 * 24


def test_what_is_no_maze_is_refused_by_rule() -> None:
    task = SMALL.parse(MAZE)
    for column, value, words in (
        (0, 32, "row_1 must be in [0, 31]"), (-3, 1, "agent must stand on a free cell"),
        (-1, 6, "goal must stand on a free cell"), (-1, 10, "different cells"),
        (-2, 4, "direction must be in [0, 3]"), (-1, -1, "goal must be in [0, 24]"),
    ):  # fmt: skip
        wrong = task.copy()
        wrong[column] = value
        assert SMALL.contains(np.stack([task, wrong])).tolist() == [True, False]
        with pytest.raises(ValueError, match="outside its space") as error:
            SMALL.check(wrong)
        assert words in str(error.value)
    with pytest.raises(ValueError, match="whole numbers"):
        SMALL.check(task + 0.5)
    with pytest.raises(ValueError, match="shape"):
        SMALL.check(task[:-1])
    for text in ("#######", MAZE.replace("G", "."), MAZE.replace(">", "?")):
        with pytest.raises(ValueError, match="a maze"):
            SMALL.parse(text)
    for size, blocks, words in ((6, None, "size"), (43, None, "size"), (7, 24, "max_blocks")):
        with pytest.raises(ValueError, match=words):
            MazeTasks(size, blocks)


def test_edits_are_small_and_reach_everything() -> None:
    rng = np.random.default_rng(2)
    tasks = np.repeat(SMALL.parse(MAZE)[None], 3000, axis=0)
    edited = SMALL.edit(tasks, rng)
    assert SMALL.contains(edited).all()
    flipped = (SMALL.walls(edited) != SMALL.walls(tasks)).sum(axis=(1, 2))
    agent = (edited[:, [-3]] != tasks[:, [-3]]).any(axis=1)
    goal = edited[:, -1] != tasks[:, -1]
    # One change each: a block (four in five), the agent, or the goal.
    assert ((flipped == 1) ^ agent ^ goal).all()
    assert flipped.max() == 1
    assert 0.77 < flipped.mean() < 0.83
    assert abs(agent.mean() - goal.mean()) < 0.03
    changed = (SMALL.walls(edited) != SMALL.walls(tasks))[:, 1:-1, 1:-1].any(axis=0)
    assert changed.sum() == 25 - 2
    many = SMALL.edit(tasks, rng, size=1.0)
    distance_of = (SMALL.walls(many) != SMALL.walls(tasks)).sum(axis=(1, 2))
    assert 2.0 < distance_of.mean() <= 5.0
    # A full maze has no cell to move to, and stays a maze.
    walls = np.ones((7, 7), dtype=bool)
    walls[1, 1:3] = False
    full = SMALL.encode(walls, (1, 1), 0, (1, 2))
    assert SMALL.contains(SMALL.edit(np.repeat(full[None], 200, axis=0), rng)).all()


@pytest.mark.parametrize("size", [7, 8, 9, 10, 13, 15, 20])
def test_hand_made_mazes_fit_every_size(size: int) -> None:
    space = MazeTasks(size)
    mazes = space.hand_made()
    assert list(mazes) == [n for n, (least, _) in LAYOUTS.items() if size - 2 >= least]
    assert len({task.tobytes() for task in mazes.values()}) == len(mazes) >= 8
    ways = {name: space.distance(task) for name, task in mazes.items()}
    assert all(way is not None for way in ways.values())
    with gymnasium.make("currgym/GridMaze-v0", size=size) as env:  # the clock leaves room
        assert max(way or 0 for way in ways.values()) < env.get_wrapper_attr("max_episode_steps")
    assert space.as_dict(mazes["labyrinth"])["maze"] == "labyrinth"


def test_a_space_comes_back_from_its_description() -> None:
    space = MazeTasks(9, 12)
    again = space_from_config(space.config())
    assert again == space != MazeTasks(9, 11)
    task = space.sample(3, np.random.default_rng(0))
    np.testing.assert_array_equal(again.from_rows(task.astype(float)), task)
    assert space.gym_space.contains(task[0])
    with pytest.raises(ValueError, match="pass trust"):
        space_from_config({"type": "levels", "class": "os:getcwd", "arguments": {}})
    with pytest.raises(ValueError, match="no class of task spaces"):
        space_from_config({"type": "levels", "class": "currgym.tasks:np.zeros", "arguments": {}})


# Solver ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [7, 10])
def test_distance_is_that_of_a_plain_search(size: int) -> None:
    space = MazeTasks(size, max_blocks=(size - 2) ** 2 - 2)
    tasks = space.sample(300, np.random.default_rng(size))
    walls = space.walls(tasks)
    found = [space.distance(task) for task in tasks]
    for task, wall, way in zip(tasks, walls, found, strict=True):
        start, goal = space.place(task[-3]), space.place(task[-1])
        assert way == breadth_first(wall, start, int(task[-2]), goal)
    assert None in found
    assert len(set(found)) > 8


def test_the_shortest_path_leads_to_the_goal_and_earns_the_optimum() -> None:
    with make(size=9) as env:
        space = env.get_wrapper_attr("task_space")
        for task in space.sample(60, np.random.default_rng(3)):
            way = shortest_path(space.board(task))
            env.reset(options={"task": task})
            if way is None:
                assert env.step(0)[4]["true_regret"] == 0.0  # nothing to be had
                continue
            for step, action in enumerate(way, 1):
                _, reward, terminated, _, info = env.step(action)
                assert terminated == (step == len(way))
                assert terminated == (info["true_regret"] == 0.0)
            assert reward == 1.0 - 0.9 * len(way) / 72  # 49 cells of 250 / 169


def test_no_shift_goes_round_the_edge() -> None:
    # The goal is the first cell of the next row; the way is barred.
    assert distance(Board((0b00, 0b11), 1, 0, 0)) == 3
    assert distance(Board((0b10, 0b10), 0, 0, 2)) == 2
    assert distance(Board((0, 0b111, 0), 2, 0, 6)) is None


# Episode -----------------------------------------------------------------------------------------


def test_an_episode_worked_by_hand() -> None:
    with make(size=7) as env:
        task = SMALL.parse(MAZE)
        observation, info = env.reset(options={"task": task})
        np.testing.assert_array_equal(info["task"], task)
        # Looking right from (3, 1): the farthest row of the window is column 5, its left row 1.
        seen = observation[:25].reshape(5, 5)
        np.testing.assert_array_equal(
            seen,
            [
                [0, 0, 0, 0, 0],  # column 5, rows 1 to 5: the goal is no wall
                [0, 1, 1, 1, 1],
                [0, 0, 0, 0, 1],
                [1, 1, 1, 0, 1],
                [0, 0, 0, 0, 1],  # its own column
            ],
        )
        goal = observation[25:50].reshape(5, 5)
        assert (goal[0, 4], goal.sum()) == (1.0, 1.0)
        assert observation[50:].tolist() == [1, 0, 0, 0]
        limit = env.get_wrapper_attr("max_episode_steps")
        assert limit == 37  # 250 * 25 / 169
        for action in WAY[:-1]:
            _, reward, terminated, truncated, info = env.step(action)
            assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)
            assert info["true_regret"] == pytest.approx(1.0 - 0.9 * 17 / 37, abs=1e-12)
        _, reward, terminated, truncated, info = env.step(WAY[-1])
        assert reward == pytest.approx(1.0 - 0.9 * 17 / 37, abs=1e-12)
        assert (terminated, truncated, info["success"]) == (True, False, True)
        assert info["true_regret"] == 0.0


def test_the_view_turns_with_the_agent() -> None:
    """What lies two ahead and one to the right is in the same place of the window each way."""
    space = MazeTasks(13)
    with make() as env:
        for direction, (row, column) in enumerate([(7, 8), (8, 5), (5, 4), (4, 7)]):
            walls = np.zeros((13, 13), dtype=bool)
            walls[row, column] = True
            task = space.encode(walls, (6, 6), direction, (1, 1))
            seen = env.reset(options={"task": task})[0][:25].reshape(5, 5)
            assert (seen[2, 3], seen.sum()) == (1.0, 1.0)


def test_time_runs_out() -> None:
    with make(size=7, steps=5) as env:
        env.reset(options={"task": SMALL.parse(MAZE)})
        ends = [env.step(0)[2:] for _ in range(5)]
        assert [truncated for _, truncated, _ in ends] == [False] * 4 + [True]
        # The goal is farther than the clock allows: nothing to be had, nothing missed.
        assert ends[-1][2] == {"true_regret": 0.0, "success": False}
    for wrong, words in (({"view": 4}, "view"), ({"steps": 0}, "steps"), ({"size": 5}, "size")):
        with pytest.raises(ValueError, match=words):
            make(**wrong)
    with make(size=7) as env:
        env.reset(seed=0)
        for action in (3, -1, 0.5):
            with pytest.raises(ValueError, match="action must be"):
                env.unwrapped.step(action)


def test_test_sets_can_be_solved() -> None:
    with make(size=9) as env:
        sets = env.get_wrapper_attr("test_sets")
        space = env.get_wrapper_attr("task_space")
        assert list(sets) == ["hand-made", "random-50"]
        assert [len(tasks) for tasks in sets.values()] == [9, 50]
        for tasks in sets.values():
            assert (space.difficulty_of(tasks) < 4 * space.cells).all()


def test_a_picture_shows_the_maze() -> None:
    with make(size=7, render_mode="rgb_array") as env:
        env.reset(options={"task": SMALL.parse(MAZE)})
        frame: Any = env.render()
        tile = frame.shape[0] // 7
        centres = frame[tile // 2 :: tile, tile // 2 :: tile][:7, :7].astype(int)
        assert centres[3, 1, 0] > 200 > centres[3, 1, 1]  # the agent is red
        assert centres[5, 5, 1] > centres[5, 5, 0] + 30  # the goal is green
        assert centres[1, 2].mean() > centres[2, 1].mean() + 30  # walls are lighter than the floor
        assert centres[2, 3].mean() > 60 > 50 > 45  # seen, so lighter
    vec = gymnasium.make_vec(
        "currgym/GridMaze-v0", num_envs=2, size=7, render_mode="rgb_array", max_episode_steps=50
    )
    vec.reset(options={"task": np.stack([SMALL.parse(MAZE)] * 2)})
    np.testing.assert_array_equal(vec.render()[1], frame)  # type: ignore[index]


# Array form --------------------------------------------------------------------------------------


def assert_same(one: Any, other: Any) -> None:
    """Equal in structure, type and every bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), [other[key] for key in one]
    if isinstance(one, (list, tuple)) or (isinstance(one, np.ndarray) and one.dtype == object):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("limit", [None, 12])
def test_array_form_equals_single_ones_to_the_bit(mode: AutoresetMode, limit: int | None) -> None:
    shared: dict[str, Any] = {"size": 8, "view": 3}
    if limit is not None:
        shared["max_episode_steps"] = limit
    ours = gymnasium.make_vec("currgym/GridMaze-v0", num_envs=5, autoreset_mode=mode, **shared)
    theirs = gymnasium.make_vec(
        "currgym/GridMaze-v0", num_envs=5, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode}, **shared,
    )  # fmt: skip
    assert ours.observation_space == theirs.observation_space
    rng = np.random.default_rng(0)
    space = currgym.task_space(ours)

    def put(rows: NDArray[np.int64]) -> None:
        tasks = space.sample(5, rng)
        ours.queue(rows, tasks[rows], [int(i) for i in rows])  # type: ignore[attr-defined]
        for i in rows:
            theirs.envs[i].set_wrapper_attr("queued", (tasks[i], int(i)))  # type: ignore[attr-defined]

    put(np.arange(5))
    assert_same(ours.reset(seed=5), theirs.reset(seed=5))
    ended = solved = 0
    for step in range(300):
        actions = rng.choice(3, size=5, p=[0.2, 0.2, 0.6])
        one, other = ours.step(actions), theirs.step(actions)
        assert_same(one, other)
        done = one[2] | one[3]
        ended, solved = ended + int(done.sum()), solved + int(one[2].sum())
        if done.any() and step % 5:
            put(np.flatnonzero(done))
        if done.any() and mode is AutoresetMode.DISABLED:
            options = {"reset_mask": done}
            again = {"reset_mask": done.copy()}
            assert_same(ours.reset(options=options), theirs.reset(options=again))
    assert ended > 20
    assert solved > 5


class Told(Teacher):
    """Notes the true regret of every outcome."""

    spaces = frozenset({"levels"})
    needs = frozenset({"true_regret"})
    name = "told"

    def __init__(self, space: Any, **given: Any) -> None:
        super().__init__(space, **given)
        self.heard: list[tuple[float, float, NDArray[Any]]] = []

    def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
        return self.space.sample(n, rng)

    def _update(self, batch: Any) -> None:
        rows = zip(batch.scores["true_regret"], batch.raw_returns, batch.tasks, strict=True)
        self.heard += [(float(s), float(r), task) for s, r, task in rows]


@pytest.mark.parametrize("form", ["native", "sync"])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_true_regret_reaches_the_teacher(mode: AutoresetMode, form: str) -> None:
    kwargs: dict[str, Any] = {"autoreset_mode": mode}
    if form == "sync":
        kwargs = {"vectorization_mode": "sync", "vector_kwargs": kwargs}
    vec = gymnasium.make_vec("currgym/GridMaze-v0", num_envs=3, size=7, **kwargs)
    space = currgym.task_space(vec)
    teacher = Told(space, seed=0)
    core = currgym.CurriculumVectorEnv(vec, teacher, seed=0)
    core.reset()
    rng = np.random.default_rng(1)
    for _ in range(200):
        _, _, terminated, truncated, _ = core.step(rng.choice(3, size=3, p=[0.2, 0.2, 0.6]))
        done = terminated | truncated
        if mode is AutoresetMode.DISABLED and done.any():
            core.reset(options={"reset_mask": done})
    assert len(teacher.heard) >= 15
    assert any(regret > 0 and got > 0 for regret, got, _ in teacher.heard)
    for regret, got, task in teacher.heard:
        way = space.distance(task)  # type: ignore[attr-defined]
        optimum = 0.0 if way is None or way > 37 else 1.0 - 0.9 * way / 37
        assert regret == pytest.approx(optimum - got, abs=1e-12)


def test_nobody_else_tells_true_regret() -> None:
    from currgym.tasks import BoxTasks

    class Asks(Told):
        spaces = frozenset({"box"})

        def _sample(self, n: int, rng: np.random.Generator) -> NDArray[Any]:
            return rng.random((n, self.space.unit_dim))

    vec = gymnasium.make_vec("currgym/CartPole-v0", num_envs=1)
    space = currgym.task_space(vec)
    assert isinstance(space, BoxTasks)
    with pytest.raises(ValueError, match="cannot give true_regret"):
        currgym.CurriculumVectorEnv(vec, Asks(space, seed=0), seed=0)


# Runs --------------------------------------------------------------------------------------------


def test_a_run_is_logged_explained_resumed_and_drawn(tmp_path: Path) -> None:
    from currgym.report import write
    from currgym.report.data import load
    from currgym.report.maps import view_of
    from currgym.runs import Run, RunConfig
    from currgym.runs.why import rebuild_teacher

    config = RunConfig(
        "GridMaze-v0", "random", "ppo", steps=600, num_envs=2, seed=1, test_tasks=4, test_seeds=1,
        env_parameters={"size": 7}, student_parameters={"n_steps": 100, "batch_size": 50},
    )  # fmt: skip
    run = Run.create(config, tmp_path / "run")
    run.train()
    study = load(tmp_path / "run")
    assert study.example.space == MazeTasks(7)
    episodes = study.example.episodes
    assert SMALL.contains(episodes.tasks).all()
    view = view_of(study)
    assert view is not None
    assert [axis.label for axis in view.axes] == ["difficulty (percentile of all tasks)"]
    places = view.place(episodes.tasks)[:, 0]
    order = np.argsort(SMALL.difficulty_of(episodes.tasks), kind="stable")
    assert (np.diff(places[order]) >= 0).all()
    assert 0.0 < places.min() < places.max() < 100.0
    cells = study.example.cells
    assert cells is not None
    assert cells.attempts.sum() == len(episodes.returns)
    rebuilt = rebuild_teacher(tmp_path / "run").state_dict()
    teacher = run.load_session().teacher  # as it begins
    assert rebuilt["proposed"] == len(episodes.returns) + 2
    assert teacher.proposed == 0
    write(tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "labyrinth" in page
    assert "Difficulty is in percentiles" in page
