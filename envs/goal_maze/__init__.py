"""Goal Maze: reach a goal in a corridor around a block, sparsely rewarded."""

from currgym.envs.goal_maze.env import GoalMaze

__all__ = ["GoalMaze"]
