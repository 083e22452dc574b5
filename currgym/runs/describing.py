"""What there is, in words: for ``currgym list``, help texts and ``why``."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

from currgym.students import students
from currgym.teaching import teacher_parameters, teachers

__all__ = ["listing", "shown", "student_lines", "teacher_lines"]

_DEPENDS = "as its parameters say"
Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def listing(what: str | None = None) -> list[Table]:
    """Return (title, columns, rows) of environments, teachers and students, or of one of them."""
    tables = {"envs": _environments, "teachers": _teachers, "students": _students}
    return [table() for name, table in tables.items() if what in (None, name)]


def _environments() -> Table:
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    from currgym.supervised import families

    rows: list[tuple[str, ...]] = []
    for name in sorted(gymnasium.registry):
        if name.startswith("currgym/"):
            entry = gymnasium.registry[name].entry_point
            made = load_env_creator(entry) if isinstance(entry, str) else entry
            rows.append((name.removeprefix("currgym/"), _first_sentence(made)))
    rows += [(name, _first_sentence(families[name])) for name in families]
    return "environments", ("name", "what it is"), rows


def _teachers() -> Table:
    rows: list[tuple[str, ...]] = []
    for name in teachers:
        cls = teachers[name]
        rows.append(
            (name, ", ".join(cls.presets) or "-", _listed(cls.privileges), _listed(cls.needs),
             _first_sentence(cls))
        )  # fmt: skip
    return "teachers", ("name", "presets", "is told", "needs", "what it does"), rows


def _listed(names: Any) -> str:
    """Return what a class declares in words; a property depends on parameters."""
    return _DEPENDS if isinstance(names, property) else ", ".join(sorted(names)) or "-"


def _students() -> Table:
    rows: list[tuple[str, ...]] = [
        (name, students[name].kind, "yes" if students[name].exact else "-", students[name].summary)
        for name in students
    ]
    return "students", ("name", "kind", "exact resume", "what it is"), rows


def teacher_lines(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a title and (option, help) lines for a teacher's parameters."""
    cls = teachers[name.partition(":")[0]]
    told = _documented(cls)
    rows = [
        (f"--set teacher.{key}={_default(p.default)}", told.get(key, ""))
        for key, p in teacher_parameters(cls).items()
    ]
    if cls.presets:
        rows.append(("--preset NAME", f"one of {', '.join(cls.presets)}"))
    return f"Parameters of teacher {cls.name} ({_first_sentence(cls)})", rows


def student_lines(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a title and (option, help) lines for a student's parameters."""
    from currgym.runs.settings import student_parameters

    entry = students[name]
    told = _documented(entry.load()) | _documented(entry.student())
    rows = [
        (f"--set student.{key}={_default(p.default)}", told.get(key, ""))
        for key, p in student_parameters(name).items()
    ]
    return f"Parameters of student {name}", rows


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "..."
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, (int, float, str, list, tuple)) else "..."


def _first_sentence(thing: Any) -> str:
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.sub(r"``?([^`]*)``?", r"\1", text).split(". ")[0].rstrip(".")


def _documented(cls: Any) -> dict[str, str]:
    """Return name -> help from Google's ``Args:`` or reST's ``:param x:`` of a docstring."""
    doc = inspect.getdoc(cls) or ""
    found = {
        match[1]: " ".join(match[2].split())
        for match in re.finditer(r":param (\w+):(.*?)(?=\n\s*:|\Z)", doc, re.S)
    }
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.S | re.M)
    if section:
        for match in re.finditer(r"^ {4}(\w+):(.*?)(?=^ {4}\**\w+:|\Z)", section[1], re.S | re.M):
            found[match[1]] = " ".join(match[2].replace("``", "").split())
    return found


def shown(value: Any) -> str:
    """Return a snapshot's value in one readable line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {shown(child)}" for key, child in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        return str(value)
    if array.size <= 12:
        return np.array2string(array, precision=3, suppress_small=True, separator=", ").replace(
            "\n", ""
        )
    return f"{array.shape} numbers from {array.min():.4g} to {array.max():.4g}"
