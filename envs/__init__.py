"""Environments whose tasks are parameters. Importing this package registers nothing by itself."""

from __future__ import annotations

import gymnasium

__all__ = ["register_environments"]

_CLASSIC = "currgym.envs.classic"
# Name -> entry point, entry point of the array form, time limit; strings, so nothing is imported.
_ENVIRONMENTS: dict[str, tuple[str, str | None, int | None]] = {
    "Acrobot-v0": (f"{_CLASSIC}.acrobot:Acrobot", None, 500),
    "CartPole-v0": (f"{_CLASSIC}.cartpole:CartPole", f"{_CLASSIC}.vector:CartPoleVector", 500),
    # It keeps its time limit itself, for mastery follows it.
    "GoalMaze-v0": (
        "currgym.envs.goal_maze:GoalMaze",
        "currgym.envs.goal_maze.vector:GoalMazeVector",
        None,
    ),
    # Its time limit follows its size, so it keeps it itself.
    "GridMaze-v0": (
        "currgym.envs.grid_maze:GridMaze",
        "currgym.envs.grid_maze.vector:GridMazeVector",
        None,
    ),
    "LunarLander-v0": ("currgym.envs.lunar_lander:LunarLander", None, 1000),
    "MountainCarContinuous-v0": (
        f"{_CLASSIC}.mountain_car:MountainCarContinuous",
        f"{_CLASSIC}.vector:MountainCarContinuousVector",
        999,
    ),
    "Pendulum-v0": (f"{_CLASSIC}.pendulum:Pendulum", f"{_CLASSIC}.vector:PendulumVector", 200),
    "PointMassGate-v0": (
        "currgym.envs.point_mass_gate:PointMassGate",
        "currgym.envs.point_mass_gate:PointMassGateVector",
        100,
    ),
    "StumpTracks-v0": ("currgym.envs.stump_tracks:StumpTracks", None, 2000),
}


def register_environments() -> None:
    """Register every environment under ``currgym/`` with Gymnasium, once."""
    for name, (entry_point, vector_entry_point, max_episode_steps) in _ENVIRONMENTS.items():
        if f"currgym/{name}" not in gymnasium.registry:
            gymnasium.register(
                id=f"currgym/{name}",
                entry_point=entry_point,
                vector_entry_point=vector_entry_point,
                max_episode_steps=max_episode_steps,
            )
