"""PLR: which levels are kept, how likely each is replayed, and what the robust form trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, Curriculum, DiscreteTasks, Outcomes, make_teacher
from currgym.documents import read_json
from currgym.envs.grid_maze import MazeTasks
from currgym.runs import Run, RunConfig
from currgym.runs.checkpoints import Checkpoints
from currgym.runs.logs import read_rows
from currgym.runs.why import rebuild_teacher
from currgym.teachers._replay import Levels, score_chances, staleness_chances

LINE = BoxTasks([0], [1])


def feed(teacher: Any, tasks: Any, values: Any, *, seeds: Any = None, **more: Any) -> None:
    """Tell the teacher scores, under whatever name it asks for."""
    n = len(tasks)
    scores = {more.pop("score", "abs_advantage"): values}
    returns = more.pop("returns", np.zeros(n))
    columns = {**more, "seeds": np.arange(n) if seeds is None else seeds}
    teacher.update(Outcomes(np.asarray(tasks), returns, scores=scores, **columns))


def replayed(teacher: Any, known: NDArray[Any]) -> int:
    """Return for a draw of one level which known one it is, -1 if none."""
    task = teacher.propose(1).tasks[0]
    same = (known.reshape(len(known), -1) == task.reshape(-1)).all(axis=1)
    return int(np.append(np.flatnonzero(same), -1)[0])


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log."""
    return list(read_rows(path))


# The formula -------------------------------------------------------------------------------------


def test_chances_worked_by_hand() -> None:
    # Ranks 1, 3, 2 and temperature 0.5: weights 1, 1/9, 1/4, together 49/36.
    found = score_chances(np.array([3.0, 1.0, 2.0]), "rank", 0.5)
    np.testing.assert_allclose(found, [36 / 49, 4 / 49, 9 / 49], atol=1e-12)
    # In proportion, temperature 0.5: squares 9, 1, 4. What is not positive is never drawn so.
    found = score_chances(np.array([3.0, 1.0, 2.0, -1.0]), "proportional", 0.5)
    np.testing.assert_allclose(found, [9 / 14, 1 / 14, 4 / 14, 0.0], atol=1e-12)
    # Ages 4, 1, 0 of levels drawn at 2, 5 and 6.
    np.testing.assert_allclose(staleness_chances(np.array([2, 5, 6]), 6), [0.8, 0.2, 0.0])


def test_equal_scores_are_equally_likely() -> None:
    """Broken by position, the first of 4,000 equal levels would be replayed for ever."""
    for kind in ("rank", "proportional"):
        found = score_chances(np.zeros(4000), kind, 0.1)
        np.testing.assert_allclose(found, 1 / 4000, rtol=1e-9)
    # Temperature 1: the ranks get 1, 1/2 and 1/3 of 11/6, the last two 5/12 each.
    found = score_chances(np.array([2.0, 5.0, 2.0]), "rank", 1.0)
    np.testing.assert_allclose(found, [5 / 22, 12 / 22, 5 / 22], atol=1e-12)
    teacher: Any = make_teacher(
        "plr", LINE, seed=0, warmup=3, replay_rate=1.0, temperature=1.0, staleness=0.0
    )
    tasks = np.array([[0.2], [0.4], [0.6]])
    feed(teacher, tasks, [2.0, 5.0, 2.0])
    drawn = teacher.propose(4000).tasks[:, 0]
    shares = [np.mean(drawn == task) for task in tasks[:, 0]]
    np.testing.assert_allclose(shares, [5 / 22, 12 / 22, 5 / 22], atol=0.03)


def test_small_temperatures_do_not_vanish() -> None:
    found = score_chances(1e-8 * np.arange(1.0, 5.0), "proportional", 1e-3)
    np.testing.assert_allclose(found, [0.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_trace_of_ten_steps() -> None:
    teacher: Any = make_teacher(
        "plr", LINE, seed=0, warmup=3, replay_rate=1.0, temperature=0.5, staleness=0.25
    )
    first = teacher.propose(3)  # clock 3; all new
    feed(teacher, first.tasks, [3.0, 1.0, 2.0], seeds=first.seeds)
    # P_S = (36, 4, 9) / 49; all three were found at clock 3, so P_C = 1/3 each.
    expected = 0.75 * np.array([36, 4, 9]) / 49 + 0.25 / 3
    np.testing.assert_allclose(teacher.chances(), expected, atol=1e-6)
    last = [3, 3, 3]
    for clock in range(4, 10):
        which = replayed(teacher, first.tasks)
        assert which >= 0  # replay_rate 1: nothing new any more
        last[which] = clock
        ages = np.array([clock - at for at in last])
        expected = 0.75 * np.array([36, 4, 9]) / 49 + 0.25 * ages / ages.sum()
        np.testing.assert_allclose(teacher.chances(), expected, atol=1e-6)
    # The second level turns out to be the best: ranks 2, 1, 3, so weights 1/4, 1, 1/9 of 49/36.
    feed(teacher, first.tasks[[1]], [9.0], seeds=first.seeds[[1]])
    expected = 0.75 * np.array([9, 36, 4]) / 49 + 0.25 * ages / ages.sum()
    np.testing.assert_allclose(teacher.chances(), expected, atol=1e-6)
    assert teacher.snapshot()["replays"] == 6


def test_draws_follow_the_chances() -> None:
    teacher: Any = make_teacher(
        "plr", LINE, seed=1, warmup=4, replay_rate=1.0, temperature=0.7, staleness=0.0
    )
    first = teacher.propose(4)
    feed(teacher, first.tasks, [4.0, 1.0, 3.0, 2.0], seeds=first.seeds)
    counts = np.zeros(4)
    for _ in range(4000):
        counts[replayed(teacher, first.tasks)] += 1
    weights = np.array([1.0, 4.0, 2.0, 3.0]) ** (-1 / 0.7)
    np.testing.assert_allclose(counts / 4000, weights / weights.sum(), atol=0.03)


# Levels ------------------------------------------------------------------------------------------


def test_a_level_is_a_task_with_its_seed() -> None:
    teacher: Any = make_teacher("plr", LINE, seed=0, warmup=2, replay_rate=1.0, staleness=0.0)
    feed(teacher, [[0.5], [0.5], [0.5]], [1.0, 5.0, 2.0], seeds=[7, 8, 7])
    assert teacher.levels.seeds.tolist() == [7, 8]
    assert teacher.levels.scores.tolist() == [2.0, 5.0]  # the same level: its latest score
    drawn = teacher.propose(50)
    assert drawn.seeds is not None
    assert drawn.tasks.ravel().tolist() == [0.5] * 50
    assert np.mean(drawn.seeds == 8) > 0.9
    # A curriculum hands the level out with that very seed.
    tickets = Curriculum(teacher, seed=3).issue(20)
    assert set(tickets.seeds.tolist()) <= {7, 8}


def test_levels_of_a_maze_are_whole_without_a_seed() -> None:
    space = MazeTasks(7)
    teacher: Any = make_teacher("plr", space, seed=0, warmup=1, replay_rate=1.0)
    assert "seeds" not in teacher.needs
    tasks = space.sample(2, np.random.default_rng(0))
    feed(teacher, tasks[[0, 1, 0]], [1.0, 5.0, 2.0], seeds=[7, 8, 9])
    np.testing.assert_array_equal(teacher.levels.tasks, tasks)
    proposals = teacher.propose(10)
    assert proposals.seeds is None
    assert replayed(teacher, tasks) >= 0
    with pytest.raises(ValueError, match="'seeds'"):
        make_teacher("plr", space, seed=0, fixed_seeds=True).update(
            Outcomes(tasks, [0, 0], scores={"abs_advantage": [0, 0]})
        )


def test_the_lowest_makes_way() -> None:
    levels = Levels(3, np.zeros((1, 1)))
    for i, (score, now) in enumerate([(2.0, 5), (1.0, 6), (1.0, 4)]):
        assert levels.offer(np.array([float(i)]), 0, score, 0.0, now) == i
    assert levels.offer(np.array([9.0]), 0, 1.0, 0.0, 7) is None  # no better than the lowest
    # Of the two lowest the one not drawn for longer goes.
    assert levels.offer(np.array([9.0]), 0, 1.5, 0.0, 7) == 2
    assert levels.find(np.array([2.0]), 0) is None
    assert levels.find(np.array([9.0]), 0) == 2
    assert levels.tasks.ravel().tolist() == [0.0, 1.0, 9.0]
    assert levels.find(np.array([-0.0]), 0) == levels.find(np.array([0.0]), 0) == 0


def test_the_store_keeps_the_highest_of_many() -> None:
    teacher: Any = make_teacher("plr", LINE, seed=0, capacity=20, warmup=5, replay_rate=0.2)
    heard: set[float] = set()
    for _ in range(400):
        proposals = teacher.propose(1)
        heard.update(proposals.tasks[:, 0].tolist())
        feed(teacher, proposals.tasks, proposals.tasks[:, 0], seeds=proposals.seeds)
    np.testing.assert_allclose(np.sort(teacher.levels.scores), sorted(heard)[-20:])


def test_what_is_known_is_no_new_level() -> None:
    space = DiscreteTasks(50)
    teacher: Any = make_teacher("plr", space, seed=0, warmup=1000, fixed_seeds=False, capacity=1000)
    feed(teacher, np.arange(25), np.zeros(25))
    tasks = teacher.propose(400).tasks
    # Drawn once more where known: a half of a half is known still.
    assert np.mean(tasks < 25) == pytest.approx(0.25, abs=0.06)
    assert teacher.snapshot()["duplicates"] == pytest.approx(200, abs=40)


def test_maximum_monte_carlo_remembers_the_best_return() -> None:
    teacher: Any = make_teacher("plr", LINE, seed=0, score="maxmc")
    given: dict[str, Any] = {"score": "maxmc", "seeds": [1]}
    # The score comes as own return - mean value: 0.9 - 0.3, then 0.0 - 0.3.
    feed(teacher, [[0.5]], [0.6], returns=[0.9], **given)
    assert teacher.levels.scores.tolist() == pytest.approx([0.6])
    feed(teacher, [[0.5]], [-0.3], returns=[0.0], **given)
    assert teacher.levels.scores.tolist() == pytest.approx([0.9 - 0.3])
    feed(teacher, [[0.5]], [0.2], returns=[1.0], **given)
    assert teacher.levels.scores.tolist() == pytest.approx([0.2])
    assert teacher.levels.best.tolist() == [1.0]


@pytest.mark.parametrize("score", ["abs_advantage", "pvl", "maxmc", "td", "true_regret"])
def test_every_score_is_asked_for_by_name(score: str) -> None:
    teacher = make_teacher("plr", LINE, seed=0, score=score)
    assert teacher.needs == {score, "seeds"}
    assert teacher.privileges == ({"solver"} if score == "true_regret" else frozenset())
    assert make_teacher("plr:robust", LINE, seed=0, score=score).needs == {score, "seeds", "probe"}


# New and old -------------------------------------------------------------------------------------


def test_profile_half_of_the_proposals_are_replays_of_the_best() -> None:
    """The profile: after 200 levels a half is new, the other half mostly the few best ones."""
    teacher: Any = make_teacher("plr", LINE, seed=0, warmup=200, temperature=0.3)
    first = teacher.propose(200)
    assert first.seeds is not None
    assert len(np.unique(first.tasks)) == 200
    assert teacher.requests() is None  # what is new is learnt from
    feed(teacher, first.tasks, first.tasks[:, 0], seeds=first.seeds)
    later = teacher.propose(1000)
    known = np.isin(later.tasks[:, 0], first.tasks[:, 0])
    assert known.mean() == pytest.approx(0.5, abs=0.05)
    best = later.tasks[known, 0] >= np.sort(first.tasks[:, 0])[-10]
    assert best.mean() > 0.8  # 0.9 of the score's share, and few of the stale ones
    assert 1.0 - best.mean() > 0.03
    # What it has learnt of levels that were replayed asks for nothing either: no children.
    feed(teacher, later.tasks[known], np.ones(known.sum()), seeds=later.seeds[known])
    assert teacher.requests() is None


def test_the_robust_form_trains_on_replays_only() -> None:
    teacher: Any = make_teacher("plr:robust", LINE, seed=0, warmup=50, replay_rate=0.5)
    assert "probe" in teacher.needs
    asked = teacher.requests()
    assert len(asked) == 50
    probes = np.ones(50, dtype=bool)
    feed(teacher, asked.tasks, asked.tasks[:, 0], seeds=asked.seeds, score="maxmc", probe=probes)
    seen = set(asked.tasks[:, 0].tolist())
    more = 0
    for _ in range(300):
        proposals = teacher.propose(4)
        assert set(proposals.tasks[:, 0].tolist()) <= seen  # never a level that was not scored
        feed(teacher, proposals.tasks, proposals.tasks[:, 0], seeds=proposals.seeds, score="maxmc")
        asked = teacher.requests()
        more += len(asked)
        probes = np.ones(len(asked), dtype=bool)
        assert not seen & set(asked.tasks[:, 0].tolist())
        seen |= set(asked.tasks[:, 0].tolist())
        feed(
            teacher, asked.tasks, asked.tasks[:, 0], seeds=asked.seeds, score="maxmc", probe=probes
        )
    # One new level to a replay, as a rate of one half says, less those of the beginning.
    assert more == pytest.approx(1200, abs=1)
    assert teacher.snapshot()["replays"] == 1200


def test_requests_are_owed_at_the_rate() -> None:
    teacher: Any = make_teacher("plr:robust", LINE, seed=0, warmup=1, replay_rate=0.8)
    feed(teacher, [[0.3]], [1.0], score="maxmc")
    teacher.propose(10)  # 10 x 0.2 / 0.8
    assert len(teacher.requests()) == 2
    assert teacher.requests() is None
    teacher.propose(2)
    assert len(teacher.requests()) == 1


def test_bad_arguments_are_named() -> None:
    for name, value in {
        "score": "regret", "prioritisation": "best", "replay_rate": 0.0, "capacity": 0, "warmup": 0,
        "temperature": 0.0, "staleness": 1.5,
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"{name} must .*{value}"):
            make_teacher("plr", LINE, 0, None, None, **{name: value})


def test_snapshot_shows_the_likeliest_levels() -> None:
    space = MazeTasks(7)
    teacher: Any = make_teacher("plr", space, seed=0, warmup=5)
    tasks = space.sample(3000, np.random.default_rng(0))
    feed(teacher, tasks, np.arange(3000.0))
    shown = teacher.snapshot()
    assert shown["scores"][0] == 2999.0
    assert (np.diff(shown["chances"]) <= 0).all()
    assert space.contains(shown["levels"]).all()
    assert 100 < len(shown["levels"]) < 3000


@pytest.mark.parametrize("score", ["maxmc", "true_regret"])
def test_a_run_scores_new_mazes_without_learning_and_its_log_tells_all(
    score: str, tmp_path: Path
) -> None:
    config = RunConfig(
        "GridMaze-v0", "plr", "ppo", steps=800, num_envs=4, seed=1, test_tasks=2, test_seeds=1,
        evaluate_every=800, keep_policies=0, preset="robust", env_parameters={"size": 7},
        teacher_parameters={"score": score, "warmup": 20},
        student_parameters={"n_steps": 100, "batch_size": 100, "n_epochs": 1},
    )  # fmt: skip
    run = Run.create(config, tmp_path / "run")
    run.train()
    ledger = read_json(tmp_path / "run" / "summary.json")["ledger"]
    trained = rows_of(tmp_path / "run" / "episodes.csv")
    probed = rows_of(tmp_path / "run" / "probes.csv")
    mazes = [f"task.{name}" for name in MazeTasks(7).names]
    known = {tuple(row[name] for name in mazes) for row in probed}
    assert ledger["probes"] == len(probed) >= 20
    assert ledger["probe_steps"] == sum(int(row["length"]) for row in probed)
    # The first four were dealt before anything could be asked for.
    known |= {tuple(row[name] for name in mazes) for row in trained if int(row["id"]) < 4}
    assert all(tuple(row[name] for name in mazes) in known for row in trained)
    assert all(float(row[f"score.{score}"]) >= 0.0 for row in trained if score == "true_regret")
    saved = Checkpoints(tmp_path / "run").newest()[0]
    assert saved is not None
    state = saved.state()["session"]["environments"]["curriculum"]["teacher"]
    rebuilt = rebuild_teacher(tmp_path / "run").state_dict()
    assert rebuilt["proposed"] == state["proposed"]
    for name in ("tasks", "scores", "best", "last"):
        np.testing.assert_array_equal(rebuilt["own"]["levels"][name], state["own"]["levels"][name])
    assert rebuilt["rng"] == state["rng"]
