"""Imports point one way, and importing the package loads little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = {
    "currgym.curriculum", "currgym.documents", "currgym.outcomes", "currgym.registry",
    "currgym.reasons", "currgym.states",
    "currgym.seeds", "currgym.tasks", "currgym.teaching",
}  # fmt: skip
HEAVY = ("torch", "stable_baselines3", "sb3_contrib", "matplotlib", "sklearn", "scipy", "plotly",
         "pygame", "Box2D", "pandas", "ray", "tensorboard")  # fmt: skip


def imports_of(path: Path) -> list[tuple[int, str]]:
    """Return (level, module) of every import in a file, wherever it stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            # `from package import module` may name a module: both are looked at.
            found.append((node.level, module))
            found += [(node.level, f"{module}.{alias.name}") for alias in node.names]
    return found


def ours(path: Path) -> list[str]:
    return [
        name
        for level, name in imports_of(path)
        if level == 0 and (name == "currgym" or name.startswith("currgym."))
    ]


def sources(*folders: str) -> list[Path]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files
    # currgym/teachers and currgym/envs are links to the folders at the top.
    return [p for p in files if p.parts[len(ROOT.parts) : len(ROOT.parts) + 2] not in LINKS]


LINKS = {("currgym", "teachers"), ("currgym", "envs")}


def allowed(name: str, packages: tuple[str, ...]) -> bool:
    """Tell whether a name is a core module, something in one, or in one of the packages."""
    return any(name == base or name.startswith(f"{base}.") for base in (*CORE, *packages))


@pytest.mark.parametrize("path", sources("teachers"), ids=lambda p: p.stem)
def test_teachers_import_the_core_and_helpers_only(path: Path) -> None:
    for name in ours(path):
        parts = name.split(".")
        if parts[:2] == ["currgym", "teachers"]:
            helper = len(parts) == 2 or parts[2].startswith("_")
            assert helper, f"{path.name} imports the teacher {name}"
        else:
            assert name != "currgym", f"{path.name}: import currgym.tasks and the like instead"
            assert allowed(name, ()), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sources("envs"), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_environments_import_the_core_and_their_own_folder(path: Path) -> None:
    relative = path.relative_to(ROOT / "envs")
    own: tuple[str, ...] = (
        "currgym.envs.base",
        "currgym.envs.physics_base",
        "currgym.envs.vector_base",
        "currgym.envs.visited",
    )
    if len(relative.parts) > 1:
        own += (f"currgym.envs.{relative.parts[0]}",)
    for name in ours(path):
        if name in ("currgym.envs", "currgym.envs.base", "currgym.envs.vector_base"):
            continue
        assert name != "currgym", f"{path.name}: import currgym.tasks and the like instead"
        assert allowed(name, own), f"{relative} imports {name}"


def test_the_core_imports_nothing_above_it() -> None:
    for module in CORE:
        for name in ours(ROOT / f"{module.replace('.', '/')}.py"):
            # The registry lists the folder of teachers when it is first asked.
            assert allowed(name, ("currgym.teachers",)), f"{module} imports {name}"


@pytest.mark.parametrize("folder", ["currgym", "teachers", "envs", "experiments", "tests"])
def test_no_relative_imports(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.py")):
        levels = [level for level, _ in imports_of(path)]
        assert not any(levels), f"{path.relative_to(ROOT)} has a relative import"


@pytest.mark.parametrize(
    "statement",
    [
        "import currgym",
        "from currgym import BoxTasks, Curriculum, Outcomes, Teacher",
        "import currgym; currgym.make_teacher('random', currgym.BoxTasks([0], [1]))",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    script = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint(HEAVY), f"loaded: {sorted(loaded & set(HEAVY))}"


def test_importing_registers_the_environments_and_no_teacher() -> None:
    script = (
        "import sys, gymnasium, currgym\n"
        "assert any(name.startswith('currgym/') for name in gymnasium.registry)\n"
        "assert 'currgym.teachers' not in sys.modules\n"
        "assert 'currgym.tasks' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
