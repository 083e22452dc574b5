"""The short form of ``tests/impostors.py``: traces and profiles notice ``random``."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from currgym import BoxTasks, make_teacher
from currgym.teaching import teachers


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


impostors = load(Path(__file__).parent / "impostors.py", "impostors")


def short_tests(module: ModuleType) -> Iterator[tuple[str, Callable[[], None]]]:
    """Return the traces and profiles that take no arguments, traces first."""
    found: dict[str, Callable[[], None]] = dict(inspect.getmembers(module, inspect.isfunction))
    for owner_name, owner in inspect.getmembers(module, inspect.isclass):
        if owner_name.startswith("Test") and owner.__module__ == module.__name__:
            for name, method in inspect.getmembers(owner(), inspect.ismethod):
                found[f"{owner_name}.{name}"] = method
    for kind in ("test_trace", "test_profile"):
        for name, function in found.items():
            plain = name.rpartition(".")[2]
            if plain.startswith(kind) and not inspect.signature(function).parameters:
                yield name, function


def noticed(function: Callable[[], None]) -> bool:
    """Tell whether an assertion of the test fails; other errors prove nothing."""
    try:
        function()
    except AssertionError:
        return True
    except Exception:
        return False
    return False


@pytest.mark.parametrize(
    "name", [n for n in teachers if teachers[n].__module__.startswith("currgym.teachers.")]
)
def test_random_in_its_place_is_noticed(name: str) -> None:
    path = impostors.module_of(name)
    assert path.exists(), f"{name} has no tests: write {path.name}"
    module = load(path, f"impostor_{path.stem}")
    tests = list(short_tests(module))
    assert any("test_trace" in test for test, _ in tests), f"{path.name} has no mechanism trace"
    stand_in = impostors.impostors_of(name)[0]
    with impostors.impersonate(name, stand_in):
        assert any(noticed(function) for _, function in tests), f"nobody notices {stand_in}"


def test_families_name_registered_teachers() -> None:
    for family in impostors.FAMILIES.values():
        assert set(family) <= set(teachers)
    assert impostors.impostors_of("window") == [
        "random",
        "easy-to-hard",
        "hard-to-easy",
        "cyclical",
    ]
    assert impostors.impostors_of("random") == ["uniform-steps"]


def test_an_impostor_has_the_name_and_parameters_of_the_original() -> None:
    space = BoxTasks([0, 0], [1, 1], difficulty="x0")
    with impostors.impersonate("window", "random"):
        teacher = make_teacher("window:corl2019", space, seed=0, queue=7)
        assert teacher.name == "window"
        assert getattr(teacher, "queue", None) == 7
        assert teacher.sample(500)[:, 0].max() > 0.9
        with pytest.raises(TypeError, match="queue"):
            make_teacher("window", space, quue=7)
    assert make_teacher("window", space, seed=0).sample(500)[:, 0].max() < 0.2


def test_the_script_reports_who_is_not_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failures(name: str, stand_in: str) -> list[dict[str, object]]:
        caught = {"test": "a.py::test_trace", "error": "AssertionError", "assertion": True}
        other = {"test": "a.py::test_other", "error": "KeyError", "assertion": False}
        return [other] if stand_in == "random" else [caught, other]

    monkeypatch.setattr(impostors, "failures", failures)
    path = tmp_path / "results" / "impostors.json"
    monkeypatch.setattr(sys, "argv", ["impostors.py", "--teacher", "yoked", "--json", str(path)])
    assert impostors.main() == 1
    assert "nobody notices random in its place" in capsys.readouterr().err
    table = json.loads(path.read_text())
    assert len(table["commit"]) == 40
    assert table["table"]["yoked"]["random"]["noticed_by"] == []
    assert table["table"]["yoked"]["yoked-shuffled"]["noticed_by"] == ["test_trace"]
    monkeypatch.setattr(sys, "argv", ["impostors.py", "--teacher", "random"])
    assert impostors.main() == 0
