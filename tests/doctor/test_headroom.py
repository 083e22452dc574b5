"""Cells, forks, the statistics of forks, and what is concluded from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks
from currgym.doctor.headroom import Cells, Forks, Grid, Plan, advise, knowing, measure, summarise
from currgym.doctor.headroom.signals import probe
from currgym.doctor.headroom.studied import teacher_scores
from currgym.runs import Run, RunConfig
from currgym.tasks import TaskSpace

# Cells -------------------------------------------------------------------------------------------

SPACES: dict[str, TaskSpace] = {
    "two": BoxTasks([0, -1], [4, 1]),
    "one": BoxTasks([1e-3], [1e1], kinds=["log"]),
    "three": BoxTasks([0, 0, 5, 0], [1, 7, 5, 1], kinds=["real", "integer", "real", "real"]),
    "labels": BoxTasks([0, 0], [2, 1], kinds=[("red", "green", "blue"), "real"]),
    "examples": DiscreteTasks(100, difficulty=np.random.default_rng(0).permutation(100)),
}


@pytest.mark.parametrize("name", SPACES)
def test_tasks_of_a_cell_lie_in_it(name: str) -> None:
    space = SPACES[name]
    cells = Cells(space)
    rng = np.random.default_rng(1)
    for cell in range(len(cells)):
        tasks = cells.sample(cell, 40, rng)
        assert space.contains(tasks).all()
        assert (cells.index(tasks) == cell).all()
        assert cells.describe(cell)
    assert cells.index(cells.centres()).tolist() == list(range(len(cells)))
    everything = cells.index(space.sample(5000, rng))
    shares = np.bincount(everything, minlength=len(cells)) / 5000
    np.testing.assert_allclose(shares, cells.weights(None), atol=0.02)


def test_grid_sizes() -> None:
    assert Cells(SPACES["two"]).shape == (4, 4)
    assert Cells(SPACES["one"]).shape == (16,)
    assert Cells(SPACES["examples"]).shape == (16,)
    assert Cells(SPACES["labels"]).shape == (3, 4)
    assert Cells(SPACES["three"], ["x3"]).shape == (16,)
    assert Cells(SPACES["three"]).names == ["x0", "x1"]


def test_what_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="x0"):
        Cells(SPACES["two"], ["height"])
    with pytest.raises(ValueError, match="difficulty"):
        Cells(DiscreteTasks(10))
    with pytest.raises(ValueError, match="no dimension"):
        Cells(BoxTasks([1], [1]))


def test_target_weights() -> None:
    cells = Cells(SPACES["two"])
    weights = cells.weights([[0.1, -0.9], [0.1, -0.9], [3.9, 0.9], [3.9, 0.9]])
    assert weights[0] == weights[15] == 0.5


# Statistics --------------------------------------------------------------------------------------

M, ROWS = 16, 4
GRID = Grid(np.repeat(np.arange(M), ROWS), np.full(M, 1.0 / M))


def forks(
    rng: np.random.Generator,
    gains: NDArray[np.float64],
    noise: float = 0.0,
    uniform: float = 0.0,
    scores: dict[str, NDArray[np.float64]] | None = None,
    seed: int = 0,
) -> Forks:
    """Forks whose true gains are these, with noise of each repeat on every row alike."""
    before = rng.random(M * ROWS)
    after = before + gains[:, None, None] + noise * rng.normal(size=(M, 2, 1))
    control = before + uniform + noise * rng.normal(size=(4, 1))
    return Forks(seed, 100, before, after, control, scores or {}, GRID)


def test_gains_and_transfer() -> None:
    rng = np.random.default_rng(0)
    gains = np.arange(M) / 100
    found = forks(rng, gains, uniform=0.05)
    np.testing.assert_allclose(found.gain, gains)
    np.testing.assert_allclose(found.transfer, np.repeat(gains[:, None], M, axis=1))
    assert found.uniform_gain == pytest.approx(0.05)
    assert found.oracle == pytest.approx(0.15 - 0.05)
    assert found.gain_error == pytest.approx(0.0)
    assert found.ceiling == pytest.approx(1.0)


def test_the_oracle_of_pure_noise_gains_nothing() -> None:
    rng = np.random.default_rng(1)
    many = [forks(rng, np.zeros(M), noise=0.1) for _ in range(400)]
    oracle = [f.oracle for f in many]
    error = np.std(oracle) / np.sqrt(len(oracle))
    assert abs(np.mean(oracle)) < 3 * error
    # What choosing and valuing on the same forks would claim: the trap.
    naive = np.mean([f.gain.max() - f.uniform_gain for f in many])
    assert naive > 0.1
    ceilings = [f.ceiling for f in many if f.ceiling is not None]
    assert np.median(ceilings) == 0.0


def test_the_oracle_finds_real_headroom_under_noise() -> None:
    rng = np.random.default_rng(2)
    gains = np.zeros(M)
    gains[3] = 0.5
    oracle = [forks(rng, gains, noise=0.1).oracle for _ in range(200)]
    assert np.mean(oracle) == pytest.approx(0.5, abs=0.03)


def test_the_ceiling_is_what_a_perfect_signal_reaches() -> None:
    rng = np.random.default_rng(3)
    ceilings, reached = [], []
    for _ in range(300):
        gains = rng.normal(size=M) * 0.1
        found = forks(rng, gains, noise=0.1, scores={"truth": gains})
        ceilings.append(found.ceiling or 0.0)
        reached.append(found.knows("truth") or 0.0)
    assert np.mean(reached) == pytest.approx(np.mean(ceilings), abs=0.05)
    assert 0.6 < np.mean(reached) < 0.95


def test_a_constant_signal_knows_nothing_and_constant_gains_say_nothing() -> None:
    rng = np.random.default_rng(4)
    scores = {"silent": np.ones(M)}
    assert forks(rng, np.arange(M) / 100, scores=scores).knows("silent") == 0.0
    flat = Forks(
        0, 1, np.zeros(M * ROWS), np.zeros((M, 2, M * ROWS)), np.zeros((4, M * ROWS)), scores, GRID
    )
    assert flat.knows("silent") is None
    assert flat.ceiling is None


def test_a_cell_without_evaluation_is_refused() -> None:
    with pytest.raises(ValueError, match="cell 1 has no evaluation"):
        Grid(np.array([0, 0, 2]), np.full(3, 1 / 3))


def checkpoints(
    make: Callable[[np.random.Generator, int], Forks], seeds: int = 1, each: int = 5
) -> list[Forks]:
    rng = np.random.default_rng(5)
    return [make(rng, seed) for seed in range(seeds) for _ in range(each)]


def test_advice_says_headroom_and_names_the_signal_that_knows() -> None:
    def make(rng: np.random.Generator, seed: int) -> Forks:
        gains = rng.random(M) * 0.2
        scores = {
            "alp": gains + 0.02 * rng.normal(size=M), "td": rng.random(M), "p(1-p)": np.zeros(M)
        }  # fmt: skip
        return forks(rng, gains, noise=0.01, uniform=0.1, scores=scores, seed=seed)

    summary = summarise(checkpoints(make))
    assert summary.unit == "checkpoint"
    advice = advise(summary)
    assert advice.word == "headroom"
    assert "alp-gmm" in advice.text
    assert knowing(summary) == {"alp": True, "td": False, "p(1-p)": False}
    assert summary.signals["p(1-p)"].silent == 5
    assert summarise(checkpoints(make, seeds=4)).unit == "seed"


def test_advice_says_no_headroom() -> None:
    def make(rng: np.random.Generator, seed: int) -> Forks:
        return forks(rng, np.full(M, 0.1), noise=1e-4, uniform=0.1, scores={"alp": rng.random(M)})

    advice = advise(summarise(checkpoints(make)))
    assert advice.word == "no headroom"
    assert "train on the target" in advice.text


def test_advice_is_undecided_where_the_interval_holds_nothing() -> None:
    def make(rng: np.random.Generator, seed: int) -> Forks:
        return forks(rng, np.zeros(M), noise=0.3, scores={"alp": rng.random(M)})

    assert advise(summarise(checkpoints(make))).word == "undecided"


def test_headroom_that_no_signal_finds() -> None:
    def make(rng: np.random.Generator, seed: int) -> Forks:
        gains = np.zeros(M)
        gains[7] = 0.3
        return forks(rng, gains, noise=0.01, scores={"alp": np.ones(M)})

    advice = advise(summarise(checkpoints(make)))
    assert advice.word == "headroom"
    assert "none of these signals" in advice.text


# Forks -------------------------------------------------------------------------------------------


def toy(folder: Path, **changes: Any) -> Run:
    settings: dict[str, Any] = {
        "env": "toy/cube", "teacher": "random", "student": "cube", "steps": 500, "num_envs": 10,
        "env_parameters": {"cubes": 4}, "checkpoint_every": 1e9, "milestones": [0, 150, 300],
        **changes,
    }  # fmt: skip
    return Run.create(RunConfig(**settings), folder)


def test_milestones_are_kept_and_disturb_nothing(tmp_path: Path) -> None:
    run = toy(tmp_path / "with")
    run.train()
    assert run.milestones == [0, 150, 300]
    kept = sorted(int(f.name) for f in (run.folder / "checkpoints").iterdir())
    assert kept == [0, 150, 300, 500]
    plain = toy(tmp_path / "without", milestones=[])
    plain.train()
    assert plain.milestones == []
    for name in ("episodes.csv", "evaluations.csv"):
        assert (run.folder / name).read_bytes() == (plain.folder / name).read_bytes()


def test_milestones_that_come_between_checkpoints_are_kept_too(tmp_path: Path) -> None:
    run = toy(tmp_path / "often", checkpoint_every=0.0, milestones=[145])
    run.train()
    kept = sorted(int(f.name) for f in (run.folder / "checkpoints").iterdir())
    assert kept == [150, 490, 500]


def test_forks_draw_from_their_seed(tmp_path: Path) -> None:
    run = toy(tmp_path / "run")
    run.train()

    def episodes(name: str, seed: int | None) -> bytes:
        fork = run.fork(300, tmp_path / name, "random", steps=400, seed=seed)
        summary = fork.train()
        document = json.loads((fork.folder / "config.json").read_text())
        assert document["forked_from"]["ledger"]["steps"] == 300
        assert summary["ledger"]["steps"] == 400
        log: bytes = (fork.folder / "episodes.csv").read_bytes()
        return log

    assert episodes("a", 5) == episodes("b", 5) != episodes("c", 6)
    assert episodes("d", None) == episodes("e", 0)


PPO: dict[str, Any] = {
    "env": "currgym/CartPole-v0", "student": "ppo", "steps": 256, "num_envs": 4,
    "student_parameters": {"n_steps": 32, "batch_size": 64, "n_epochs": 2},
    "test_tasks": 2, "test_seeds": 1, "milestones": [128],
}  # fmt: skip


def test_probes_of_a_critic(tmp_path: Path) -> None:
    run = toy(tmp_path / "run", **{**PPO, "env_parameters": {}})
    run.train()
    cells = Cells(run.load_session().space)
    probes = probe(run, 128, cells, 2)
    assert set(probes.scores) == {"pvl", "maxmc", "td"}
    assert len(probes.returns) == 2 * len(cells)
    assert probes.ledger.environment_steps >= probes.returns.sum()  # a step a point of return
    again = probe(run, 128, cells, 2)
    np.testing.assert_array_equal(probes.returns, again.returns)
    np.testing.assert_array_equal(probes.scores["td"], again.scores["td"])

    first = run.fork(128, tmp_path / "first", "random", steps=256, seed=1)
    other = run.fork(128, tmp_path / "other", "random", steps=256, seed=2)
    assert first.train()["ledger"]["steps"] == 128
    other.train()
    names = "episodes.csv"
    assert (first.folder / names).read_bytes() != (other.folder / names).read_bytes()


def plan(**changes: Any) -> Plan:
    base = RunConfig(
        "toy/cube", "random", "cube", 600, num_envs=10, env_parameters={"cubes": 4},
        checkpoint_every=1e9,
    )  # fmt: skip
    settings: dict[str, Any] = {"seeds": (0,), "checkpoints": 2, "fork_steps": 40, **changes}
    return Plan(base, **settings)


def test_measure_counts_every_step_and_knows_the_toy(tmp_path: Path) -> None:
    told: list[int] = []
    found = measure(plan(), tmp_path / "out", progress=lambda what, done, total: told.append(done))
    assert found.ledger.steps == 600 + 2 * (16 * 2 + 4) * 40 == plan().settled().steps(16)
    assert found.ledger.probes == 3 * 16 * 8
    assert told[-1] == found.ledger.steps
    assert told == sorted(told)
    first, last = found.forks
    assert (first.step, last.step) == (300, 600)
    # Training on a locked cell of the toy changes nothing; on its own cell alone otherwise.
    off_diagonal = last.transfer[~np.eye(16, dtype=bool)]
    assert (off_diagonal == 0.0).all()
    assert last.transfer.diagonal().max() > 0.1
    assert set(first.scores) == {"alp", "p(1-p)", "disagreement"}


def test_measure_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    whole = measure(plan(), tmp_path / "whole")

    def stop(what: str, done: int, total: int) -> None:
        if done > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(plan(), tmp_path / "cut", progress=stop)
    resumed = measure(plan(), tmp_path / "cut")
    assert resumed.signal_document() == whole.signal_document()
    assert asdict(resumed.ledger) == asdict(whole.ledger)


def test_measure_on_examples(tmp_path: Path) -> None:
    base = RunConfig("data/regression", "random", "mlp", 512, checkpoint_every=1e9)
    found = measure(Plan(base, seeds=(0,), checkpoints=1, fork_steps=256), tmp_path / "out")
    assert np.isfinite(found.forks[0].gain).all()
    assert set(found.forks[0].scores) == {"alp", "p(1-p)", "disagreement"}
    assert found.ledger.updates == 2 + 36


def test_teachers_of_a_study(tmp_path: Path) -> None:
    for seed in (0, 1):
        toy(tmp_path / f"arm-{seed}", teacher="alp-gmm", milestones=[], seed=seed,
            teacher_parameters={}, env_parameters={"cubes": 4}).train()  # fmt: skip
    space = BoxTasks([0, 0], [1, 1])
    scores = teacher_scores(tmp_path / "arm-0", Cells(space), 500)
    (score,) = scores.values()
    assert score.sum() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="same task space"):
        teacher_scores(tmp_path / "arm-0", Cells(BoxTasks([0], [1], names=["other"])), 500)
