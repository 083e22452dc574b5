"""Policies kept for films."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from currgym.runs import Interrupted, Run, RunConfig
from currgym.runs.filming import film_run, film_study
from currgym.runs.policies import KeptPolicies

pytestmark = pytest.mark.slow


def make(folder: Path, student: str = "ppo", **changes: Any) -> Run:
    small = {"n_steps": 64} if student == "ppo" else {"learning_starts": 50}
    settings: dict[str, Any] = {
        "env": "currgym/CartPole-v0" if student == "ppo" else "currgym/Pendulum-v0",
        "teacher": "random", "student": student, "steps": 512, "num_envs": 2, "test_tasks": 2,
        "test_seeds": 1, "evaluate_every": 256, "keep_policies": 3, "student_parameters": small,
        **changes,
    }  # fmt: skip
    return Run.create(RunConfig(**settings), folder)


def test_some_are_kept_over_the_budget_and_act_as_they_did(tmp_path: Path) -> None:
    run = make(tmp_path / "r")
    run.train()
    kept = KeptPolicies(run.folder)
    assert kept.steps() == [0, 256, 512]
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    session = run.load_session()
    last = session.policy().act(observations)
    values = []
    for step in kept.steps():
        session.load_policy_state(kept.load(step))
        model = session.policy()._model
        values.append(model.policy.state_dict()["action_net.weight"].numpy().copy())
    np.testing.assert_array_equal(session.policy().act(observations), last)
    assert not np.array_equal(values[0], values[1])
    session.close()


def test_none_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    run = make(tmp_path / "r", keep_policies=0)
    run.train()
    assert not (run.folder / "policies").exists()


def test_a_run_that_goes_back_drops_what_is_newer(tmp_path: Path) -> None:
    run = make(tmp_path / "r", checkpoint_every=1e9)

    def stop(running: Run) -> None:
        running.stopping = running.steps >= 128

    with pytest.raises(Interrupted):
        run.train(stop)
    KeptPolicies(run.folder).keep(400, {"left": 1})
    Run.open(run.folder).train()
    assert KeptPolicies(run.folder).steps() == [0, 256, 512]


def test_only_what_acting_needs_is_kept(tmp_path: Path) -> None:
    run = make(tmp_path / "r", student="sac", steps=120)
    run.train()
    state = KeptPolicies(run.folder).load(0)
    assert all(name.startswith("actor.") for name in state["torch"]["policy"])


def test_films_over_time(tmp_path: Path) -> None:
    run = make(tmp_path / "runs" / "r")
    run.train()
    names = [path.name for path in film_run(run.folder)]
    assert names == ["easy.gif", "hard.gif", "easy_over_time.gif", "hard_over_time.gif"]
    with Image.open(run.folder / "films" / "easy_over_time.gif") as film:
        assert film.size[0] > 3 * 200
    document: dict[str, Any] = {"arms": [{"label": "random"}], "runs": {"random": ["runs/r"]}}
    (tmp_path / "study.json").write_text(json.dumps(document))
    (path,) = film_study(tmp_path)
    assert path == tmp_path / "films" / "random_on_a_hard_task.gif"
    document["runs"] = {"random": []}
    (tmp_path / "study.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="--keep-policies"):
        film_study(tmp_path)
