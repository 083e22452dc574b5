"""Grid Maze: an agent with a narrow view looks for the goal in a maze of blocks."""

from __future__ import annotations

from currgym.envs.grid_maze.env import GridMaze
from currgym.envs.grid_maze.levels import MazeTasks

__all__ = ["GridMaze", "MazeTasks"]
