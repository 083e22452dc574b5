"""What the files of somebody else may make happen: nothing, without --trust."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.cli import main
from currgym.runs import Run, RunConfig
from currgym.tasks import space_from_config

TRAP = "currgym_trust_trap"


@pytest.fixture(autouse=True)
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that could be imported, and is gone from memory after each test."""
    (tmp_path / f"{TRAP}.py").write_text("difficulty = print\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop(TRAP, None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run.create(RunConfig("toy/cube", "alp-gmm", "cube", 200), tmp_path / "run")
    made.train()
    return made


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def change(run: Run, **request: Any) -> None:
    path = run.folder / "config.json"
    document = json.loads(path.read_text())
    document["request"].update(request)
    path.write_text(json.dumps(document))


COMMANDS = (
    ["resume"], ["evaluate"], ["why", "--episode", "3"], ["reproduce"], ["report"], ["figure"],
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    "request_",
    [{"modules": [TRAP]}, {"env": f"{TRAP}:currgym/CartPole-v0"}],
    ids=["modules", "env"],
)
def test_modules_are_not_imported(
    run: Run, command: list[str], request_: dict[str, Any], capsys: pytest.CaptureFixture[str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    change(run, **request_)
    code = call(command[0], str(run.folder), *command[1:])
    assert TRAP not in sys.modules
    if command[0] not in ("report", "figure"):  # which read, and need no module
        assert code == 2
        assert f"imports {TRAP}" in capsys.readouterr().err


def test_trust_allows_them(run: Run, tmp_path: Path) -> None:
    change(run, modules=[TRAP])
    assert call("evaluate", str(run.folder), "--trust") == 0
    assert TRAP in sys.modules


@pytest.mark.parametrize(
    "command", ["status", "run", "resume", "report", "freeze", "export"], ids=str
)
def test_a_study_imports_nothing(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.toml"
    file.write_text(
        f'import = ["{TRAP}"]\nenvironments = ["toy/cube"]\nteachers = ["random"]\nsteps = 50\n'
    )
    assert call("study", command, str(file)) == 2
    assert TRAP not in sys.modules
    assert f"imports {TRAP}" in capsys.readouterr().err
    if command == "status":
        assert call("study", command, str(file), "--trust") == 0
        assert TRAP in sys.modules


def test_a_run_folder_planted_in_a_study_is_not_gone_on_with(tmp_path: Path) -> None:
    """The study names no module; the run that waits in its store does, and asks for another run."""
    from currgym.studies import Arm, Study

    base = RunConfig("toy/cube", "random", "cube", 100)
    study = Study.of(tmp_path / "study", base, [Arm("random", "random")], [0])
    study.store.add(study.cells)
    cell = study.cells[0]
    folder = study.store[cell.key].folder
    for changes, says in (({"modules": [TRAP]}, "imports"), ({"steps": 90}, "differ in steps")):
        planted = Run.create(cell.config, folder, force=True)
        change(planted, **changes)
        (failed,) = study.run(1, engine="inline")
        assert says in failed
        assert TRAP not in sys.modules
        study = Study.of(tmp_path / "study", base, [Arm("random", "random")], [0])


def test_a_difficulty_is_not_imported() -> None:
    space = {
        "type": "box", "low": [0.0], "high": [1.0], "names": ["x"], "kinds": ["real"],
        "difficulty": {"import": f"{TRAP}:difficulty"},
    }  # fmt: skip
    with pytest.raises(ValueError, match="pass trust"):
        space_from_config(space)
    assert TRAP not in sys.modules
    trusted: object = space_from_config(space, trust=True).difficulty
    assert trusted is print


class Payload:
    def __reduce__(self) -> Any:
        return (exec, (f"import {TRAP}",))


@pytest.mark.parametrize("trust", [[], ["--trust"]], ids=["no-trust", "trust"])
@pytest.mark.parametrize("file", ["tensors.pt", "arrays.npz"])
def test_pickles_are_never_loaded(
    tmp_path: Path, file: str, trust: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    run = Run.create(RunConfig("data/digits", "random", "mlp", 64), tmp_path / "run")
    run.train()
    (checkpoint,) = (run.folder / "checkpoints").iterdir()
    path = checkpoint / file
    if file == "tensors.pt":
        torch.save({"session.student.torch": Payload()}, path)
    else:
        np.savez(path, planted=np.array([Payload()], dtype=object))
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    content = path.read_bytes()
    manifest["files"][file] = {
        "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    assert call("evaluate", str(run.folder), *trust) == 2
    assert TRAP not in sys.modules
    said = capsys.readouterr().err
    assert str(checkpoint) in said
    assert "Traceback" not in said


@pytest.mark.parametrize("where", ["logs", "files", "pieces"])
def test_names_in_a_manifest_lead_nowhere(run: Run, tmp_path: Path, where: str) -> None:
    """A log outside the run would be cut to the length that the manifest says."""
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    (run.folder / "summary.json").unlink()
    (checkpoint,) = (run.folder / "checkpoints").iterdir()
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    name = "../victim.txt" if where == "logs" else "../../../victim.txt"
    manifest[where][name] = 0 if where == "logs" else {"bytes": 8, "sha256": "0"}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    again = Run.open(run.folder)
    again.train()  # from the beginning: this checkpoint does not count
    assert any("is no name" in note for note in again.notes)
    assert victim.read_text() == "precious"


def test_symbolic_links_need_trust(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.csv"
    target.write_text("precious\n")
    (run.folder / "episodes.csv").unlink()
    (run.folder / "episodes.csv").symlink_to(target)
    with pytest.raises(ValueError, match=r"symbolic links \(episodes\.csv\)"):
        Run.open(run.folder)
    Run.open(run.folder, trust=True)
    assert target.read_text() == "precious\n"


def test_an_index_that_leads_out_of_its_store_is_refused(tmp_path: Path) -> None:
    from currgym.studies import Arm, Study

    base = RunConfig("toy/cube", "random", "cube", 100)
    study = Study.of(tmp_path / "study", base, [Arm("random", "random")], [0])
    study.store.add(study.cells)
    with study.store._transaction() as connection:
        connection.execute("UPDATE runs SET folder='runs/../../elsewhere'")
    study.store.close()
    with pytest.raises(ValueError, match=r"index\.sqlite is damaged"):
        study.status()
