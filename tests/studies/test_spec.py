"""Study files: what they say, what they refuse, and how they come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from currgym.runs import RunConfig
from currgym.studies import Arm, Panel, StudySpec

Write = Callable[..., Path]

FULL = """\
name = "full"
store = "elsewhere"
environments = [
  "CartPole-v0",
  { id = "CartPole-v0", label = "heavy", steps = 2000, set = { tasks = { gravity = [2, 600] } } },
  { id = "data/digits", num_envs = 4 },
  "toy/cube",
]
students = ["ppo", { name = "ppo", label = "wide", set = { net_arch = [128] } }, "mlp", "cube"]
teachers = [
  "random",
  "alp-gmm:recent",
  "mine=alp-gmm:fit_period=50",
  { label = "again", teacher = "yoked", of = "mine" },
]
seeds = [3, 5, 7]
steps = 1000
[run]
test_seeds = 2
[plan]
endpoint = "solved"
baseline = "random"
contrasts = ["mine"]
smallest_effect = 0.05
n = 2
"""


def test_a_study_file_round_trips(write: Write) -> None:
    spec = StudySpec.read(write(FULL))
    assert [panel.label for panel in spec.panels] == [
        "CartPole-v0-ppo", "CartPole-v0-wide", "heavy-ppo", "heavy-wide", "data-digits-mlp",
        "toy-cube-cube",
    ]  # fmt: skip
    assert spec.store == spec.path.parent / "elsewhere" if spec.path else False
    written = StudySpec.read(write(FULL))
    written.path = write("", "again.toml")
    written.write()
    again = StudySpec.read(written.path)
    assert again.to_document() == spec.to_document()
    assert again.panels == spec.panels
    assert again.arms == spec.arms
    assert again.seeds == spec.seeds == [3, 5, 7]
    assert again.plan == spec.plan


def test_a_student_goes_with_the_environments_of_its_kind(write: Write) -> None:
    spec = StudySpec.read(write(FULL))
    assert {(p.base.env, p.base.student) for p in spec.panels} == {
        ("currgym/CartPole-v0", "ppo"), ("data/digits", "mlp"), ("toy/cube", "cube"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("environment = []", "did you mean 'environments'"),
        ("environments = 'toy/cube'", "environments must be"),
        ("environments = ['toy/cube']\nseeds = 2", "write teachers = "),
        ("teachers = ['random']\nseeds = 2", "write environments = "),
        ("environments = ['toy/cube']\nteachers = ['random']\nseeds = 0", "write seeds = 8"),
        ("environments = ['toy/cube']\nteachers = ['random']\nseeds = '2'", "whole numbers"),
        ("environments = ['toy/cube']\nteachers = ['random']\nsteps = 1.5", "steps must be"),
        ("environments = ['toy/cube']\nteachers = ['random']\nsteps = true", "steps must be"),
        ("environments = ['toy/cube']\nteachers = ['randm']", "did you mean 'random'"),
        ("environments = ['toy/cub']\nteachers = ['random']", "cub"),
        ("environments = ['toy/cube']\nstudents = ['ppo']\nteachers = ['random']", "takes cube"),
        ("environments = [{name = 'x'}]\nteachers = ['random']", "a table with 'id'"),
        ("environments = ['toy/cube']\nteachers = ['random', 'random']", "write LABEL=NAME"),
        ("environments = ['toy/cube']\nteachers = ['A=random', 'a=target']", "different labels"),
        ("environments = ['toy/cube']\nteachers = ['nul=random']", "Windows"),
        ("environments = ['toy/cube']\nteachers = ['a/b=random']", "names a folder"),
        ("environments = [{id='toy/cube', label='../up'}]\nteachers = ['random']", "a folder"),
        ("environments = ['toy/cube']\nteachers = ['random']\n[run]\nnum_env = 1", "'num_envs'"),
        ("environments = ['toy/cube']\nteachers = ['random']\n[run]\nnum_envs = 'x'", "num_envs m"),
        ("environments = ['toy/cube']\nteachers = ['random']\n[run]\nlog = ['wand']", "'wandb'"),
        ("environments = ['toy/cube']\nteachers = ['yoked:of=random']", "not an arm here"),
        ("environments = ['toy/cube']\nteachers = ['random']\n[plan]\nn = 2", "lacks baseline"),
        ("environments = ['toy/cube']\nteachers = ['random']\nseeds=[1]\nfirst_seed=2", "first"),
        ("a = = 1", "not a TOML file"),
    ],
)  # fmt: skip
def test_errors_name_what_to_write(text: str, says: str, write: Write) -> None:
    with pytest.raises(ValueError, match=r"small\.toml") as caught:
        StudySpec.read(write(text))
    assert says in str(caught.value)


def test_a_missing_file_and_a_folder_without_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ValueError, match="does not exist"):
            StudySpec.read(path)


def test_the_replayed_seed_never_changes_as_seeds_are_added() -> None:
    base = RunConfig("toy/cube", "random", "cube", steps=100)
    arms = [Arm("random", "random")]
    few = StudySpec("few", [Panel.of(base)], arms, [0, 1, 2])
    more = StudySpec("more", [Panel.of(base)], arms, [0, 1, 2, 3, 4])
    assert [few.other_seed(s) for s in few.seeds] == [more.other_seed(s) for s in few.seeds]
    assert all(more.other_seed(s) != s for s in more.seeds)


@pytest.mark.parametrize(
    ("arm", "match"),
    [
        ('{teacher = "alp-gmm", set = {fit_period = "x"}}', "fit_period of teacher 'alp-gmm' must"),
        ('{teacher = "alp-gmm", set = {fit_period = 2.5}}', "must be a whole number, got 2.5"),
        ('{teacher = "alp-gmm", set = 3}', "set of an arm must be a table"),
        ('{teacher = "alp-gmm", label = 3}', "label of an arm must be a text"),
    ],
)
def test_an_arm_of_other_types_is_refused(tmp_path: Path, arm: str, match: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'environments = ["toy/cube"]\nteachers = [{arm}]\nseeds = 2\n')
    with pytest.raises(ValueError, match=match):
        StudySpec.read(path)
