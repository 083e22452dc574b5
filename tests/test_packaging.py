"""What is built: every package listed, nothing under a bare name, versions that resolve."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]


def project() -> dict[str, object]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text()))


def packages_on_disk() -> set[str]:
    found = set()
    for top, name in (
        ("currgym", "currgym"),
        ("teachers", "currgym.teachers"),
        ("envs", "currgym.envs"),
    ):
        for init in (ROOT / top).rglob("__init__.py"):
            relative = init.parent.relative_to(ROOT / top)
            if top == "currgym" and relative.parts[:1] in (("teachers",), ("envs",)):
                continue  # the links
            found.add(".".join([name, *relative.parts]))
    return found


def test_every_package_is_listed() -> None:
    listed = project()["tool"]["setuptools"]["packages"]  # type: ignore[index]
    assert set(listed) == packages_on_disk()


def test_nothing_is_installed_under_the_bare_names() -> None:
    listed = project()["tool"]["setuptools"]["packages"]  # type: ignore[index]
    assert all(name.split(".")[0] == "currgym" for name in listed)


def test_the_source_archive_holds_what_a_packager_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    egg_info = pytest.importorskip("setuptools.command.egg_info")
    monkeypatch.chdir(ROOT)
    found = egg_info.FileList()
    for line in Path("MANIFEST.in").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            found.process_template_line(line)
    wanted = {
        path.as_posix()
        for top in ("tests", "experiments", "docs")
        for path in Path(top).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert wanted <= set(found.files)
    assert {"CHANGELOG.md", "constraints.txt"} <= set(found.files)


def test_constraints_pin_torch_and_cover_the_dependencies() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {
        re.split(r"[=;]", line)[0].strip().lower().replace("_", "-")
        for line in lines
        if "==" in line
    }
    assert "torch==2.13.0" in lines
    required = project()["project"]["dependencies"]  # type: ignore[index]
    for requirement in required:
        name = re.split(r"[>=;\[ ]", requirement)[0].lower()
        if name != "pygame-ce":  # in place of pygame on Python 3.14 only
            assert name in pins, name
