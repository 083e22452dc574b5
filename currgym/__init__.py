"""currgym: curriculum learning for reinforcement and supervised learning.

A *teacher* proposes tasks from a *task space*; a *student* attempts them; the *curriculum* hands
tasks out, takes outcomes back and keeps the count; a *run* records all of it.

Importing this package registers its environments with Gymnasium and does nothing else; everything
is loaded where it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from currgym.envs import register_environments

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers and editors
    from currgym.curriculum import Curriculum as Curriculum
    from currgym.curriculum import Tickets as Tickets
    from currgym.envs.parameterized import ParameterizedEnv as ParameterizedEnv
    from currgym.outcomes import Outcomes as Outcomes
    from currgym.tasks import BoxTasks as BoxTasks
    from currgym.tasks import DiscreteTasks as DiscreteTasks
    from currgym.tasks import TaskSpace as TaskSpace
    from currgym.teaching import Proposals as Proposals
    from currgym.teaching import Teacher as Teacher
    from currgym.teaching import make_teacher as make_teacher
    from currgym.teaching import register as register
    from currgym.vector import CurriculumVectorEnv as CurriculumVectorEnv
    from currgym.vector import task_space as task_space

__version__ = "0.1.0"

_ORIGINS = {
    "BoxTasks": "currgym.tasks",
    "Curriculum": "currgym.curriculum",
    "CurriculumVectorEnv": "currgym.vector",
    "DiscreteTasks": "currgym.tasks",
    "Outcomes": "currgym.outcomes",
    "ParameterizedEnv": "currgym.envs.parameterized",
    "Proposals": "currgym.teaching",
    "TaskSpace": "currgym.tasks",
    "Teacher": "currgym.teaching",
    "Tickets": "currgym.curriculum",
    "make_teacher": "currgym.teaching",
    "register": "currgym.teaching",
    "task_space": "currgym.vector",
}
_MODULES = (
    "curriculum", "doctor", "envs", "outcomes", "report", "runs", "sb3", "statistics", "students",
    "supervised", "tasks", "teachers", "teaching", "testing", "vector",
)  # fmt: skip

__all__ = [*sorted(_ORIGINS), *_MODULES, "__version__"]


def origin(name: str) -> str:
    """Return the module that ``currgym.<name>`` comes from."""
    return _ORIGINS.get(name, f"currgym.{name}")


def __getattr__(name: str) -> Any:
    if name in _ORIGINS:
        return getattr(importlib.import_module(_ORIGINS[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"currgym.{name}")
    raise AttributeError(f"module 'currgym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


register_environments()
