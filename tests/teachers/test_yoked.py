"""Replays of another run's tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym import BoxTasks, DiscreteTasks, make_teacher

SPACE = BoxTasks([0, 0, 1], [3, 6, 1], names=["height", "gap", "fixed"])
LOG = np.array([[0.1 * i, 0.7 * i, 1.0] for i in range(8)])


def rows(tasks: Any) -> Counter[tuple[float, ...]]:
    return Counter(map(tuple, np.asarray(tasks).tolist()))


def test_trace_ten_tasks_of_a_log_of_eight() -> None:
    for name in ("yoked", "yoked-shuffled"):
        teacher = make_teacher(name, SPACE, seed=0, log=LOG)
        tasks = np.concatenate([teacher.sample(1) for _ in range(10)])
        assert rows(tasks[:8]) == rows(LOG)  # to the bit
        order = "as logged" if name == "yoked" else "shuffled"
        shown = {"length": 8, "order": order, "position": 2, "exhausted": 1}
        assert teacher.snapshot() == shown
        if name == "yoked":
            assert np.array_equal(tasks, LOG[[0, 1, 2, 3, 4, 5, 6, 7, 0, 1]])
        else:
            assert not np.array_equal(tasks[:8], LOG)


def test_profile_order_is_kept_or_lost() -> None:
    log = np.linspace(0, 1, 500)[:, None]
    space = BoxTasks([0], [1])
    replay = make_teacher("yoked", space, seed=0, log=log)
    assert (np.diff(replay.sample(500)[:, 0]) > 0).all()
    shuffled = make_teacher("yoked-shuffled", space, seed=0, log=log)
    first, second = shuffled.sample(500)[:, 0], shuffled.sample(500)[:, 0]
    for tasks in (first, second):
        assert sorted(tasks) == log[:, 0].tolist()
        assert abs(np.corrcoef(tasks, np.arange(500))[0, 1]) < 0.2
    assert not np.array_equal(first, second)  # each round is a new permutation


def test_examples() -> None:
    space = DiscreteTasks(10)
    log = [3, 1, 4, 1, 5]
    assert make_teacher("yoked", space, seed=0, log=log).sample(7).tolist() == [*log, 3, 1]
    shuffled = make_teacher("yoked-shuffled", space, seed=0, log=log).sample(5)
    assert sorted(shuffled.tolist()) == sorted(log)


def test_without_a_log_it_draws_one() -> None:
    for name in ("yoked", "yoked-shuffled"):
        teacher = make_teacher(name, SPACE, seed=0, horizon=50)
        first, second = teacher.sample(50), teacher.sample(50)
        assert rows(first) == rows(second)
        assert np.array_equal(first, second) == (name == "yoked")
        assert len(rows(first)) == 50


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_reads_episodes_in_the_order_of_their_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path / "episodes.csv",
        [
            "episode,id,env,step,seed,return,length,task.height,task.gap,probe",
            "0,2,0,10,7,1.5,10,0.30000000000000004,6.0,False",
            "1,0,1,12,8,1.5,12,0.1,0.7,False",
            "2,10,0,20,9,1.5,8,2.5,0.25,False",
            "3,9,0,20,9,1.5,8,2.0,0.2,True",
        ],
    )
    teacher = make_teacher("yoked", SPACE, seed=0, log=str(path))
    expected = [[0.1, 0.7, 1.0], [0.30000000000000004, 6.0, 1.0], [2.5, 0.25, 1.0]]
    assert teacher.sample(3).tolist() == expected


def test_reads_labels_and_indices(tmp_path: Path) -> None:
    space = BoxTasks([0, 1], [2, 5], names=["body", "legs"], kinds=[("a", "b", "c"), "integer"])
    path = write(tmp_path / "a.csv", ["id,task.body,task.legs", "0,c,4", "1,0.0,2.0"])
    assert make_teacher("yoked", space, log=path).sample(2).tolist() == [[2, 4], [0, 2]]
    path = write(tmp_path / "b.csv", ["id,task.task", "1,7", "0,3"])
    assert make_teacher("yoked", DiscreteTasks(9), log=path).sample(2).tolist() == [3, 7]


def test_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gap = 9 is not in \[0, 6\]"):
        make_teacher("yoked", SPACE, log=[[0, 9, 1]])
    with pytest.raises(ValueError, match="at least one"):
        make_teacher("yoked", SPACE, log=np.empty((0, 3)))
    with pytest.raises(ValueError, match="horizon must"):
        make_teacher("yoked", SPACE, horizon=0)
    for name, lines, message in [
        ("a.csv", ["id,task.height", "0,1"], "no column 'task.gap'"),
        ("b.csv", ["task.height,task.gap", "1,1"], "no column 'id'"),
        ("c.csv", ["id,task.height,task.gap"], "holds no episode"),
    ]:
        with pytest.raises(ValueError, match=message):
            make_teacher("yoked", SPACE, log=write(tmp_path / name, lines))
    with pytest.raises(FileNotFoundError):
        make_teacher("yoked", SPACE, log=tmp_path / "none.csv")
