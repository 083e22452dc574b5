"""The task space of mazes: where the walls are, where the agent starts, where the goal is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from currgym.envs.grid_maze.layouts import LAYOUTS
from currgym.envs.grid_maze.solver import Board, distance
from currgym.tasks import TaskSpace

__all__ = ["DIRECTIONS", "MAX_SIZE", "MIN_SIZE", "MazeTasks"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DIRECTIONS = ("right", "down", "left", "up")
STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""Change of (row, column) by one step in each direction."""
ARROWS = ">v<^"
MIN_SIZE, MAX_SIZE = 7, 42
# The papers allow 60 blocks on 13 x 13 cells.
DENSITY = 60 / 13**2
# An edit moves the goal or the agent now and then; else it takes a block away or adds one.
MOVE_CHANCE = 0.2


class MazeTasks(TaskSpace):
    """Mazes of blocks on a square of ``size`` cells a side, outer wall included.

    With ``k = size - 2`` a task is ``k + 3`` whole numbers (int64): one for each inner row, whose
    bit ``c`` is set where column ``c`` is a wall; the agent's cell ``row * k + column``; its
    direction (0 right, 1 down, 2 left, 3 up); and the goal's cell. :meth:`walls` and :meth:`draw`
    take a task apart, :meth:`encode` and :meth:`parse` make one.

    Every maze whose agent and goal stand on two different free cells is in the space, whether the
    goal can be reached or not. Its difficulty is the least number of actions to the goal
    (unreachable ones come last).

    Args:
        size: Cells a side, from 7 to 42.
        max_blocks: Blocks at most in a *sampled* maze; None is the papers' density, 60 blocks on 13
            x 13 inner cells. Edited and hand-made mazes may have more.

    >>> space = MazeTasks(7)
    >>> task = space.parse("####### #>....# #####.# #.....# #.##### #....G# #######")
    >>> space.distance(task)
    20
    """

    kind = "levels"
    difficulty = "distance"

    def __init__(self, size: int = 13, max_blocks: int | None = None) -> None:
        if not MIN_SIZE <= size <= MAX_SIZE:
            raise ValueError(f"size must be from {MIN_SIZE} to {MAX_SIZE}, got {size}")
        self.size = int(size)
        self.side = self.size - 2
        """Cells a side without the outer wall."""
        self.cells = self.side**2
        most = self.cells - 2
        self.max_blocks = round(DENSITY * self.cells) if max_blocks is None else int(max_blocks)
        if not 0 <= self.max_blocks <= most:
            raise ValueError(
                f"max_blocks must be from 0 to {most} (all inner cells but two), got {max_blocks}"
            )
        rows = tuple(f"row_{r + 1}" for r in range(self.side))
        self.names = (*rows, "agent", "direction", "goal")
        self._bits = np.int64(1) << np.arange(self.side, dtype=np.int64)
        self._bounds = np.array([1 << self.side] * self.side + [self.cells, 4, self.cells])

    def __repr__(self) -> str:
        return f"MazeTasks(size={self.size}, max_blocks={self.max_blocks})"

    def _identity(self) -> tuple[Any, ...]:
        return self.size, self.max_blocks

    # Making and taking apart ---------------------------------------------------------------------

    def _pack(self, walls: BoolArray, agent: Any, direction: Any, goal: Any) -> IntArray:
        """Return tasks from walls ``(n, cells)`` and columns ``(n,)``."""
        tasks = np.empty((len(walls), self.side + 3), dtype=np.int64)
        tasks[:, : self.side] = walls.reshape(-1, self.side, self.side) @ self._bits
        tasks[:, -3], tasks[:, -2], tasks[:, -1] = agent, direction, goal
        return tasks

    def _unpack(self, tasks: IntArray) -> BoolArray:
        """Return walls ``(n, cells)``."""
        bits = tasks[:, : self.side, None] & self._bits
        return np.asarray((bits != 0).reshape(len(tasks), self.cells))

    def walls(self, tasks: ArrayLike) -> BoolArray:
        """Return where walls are, ``(n, size, size)``, the outer wall included."""
        array = self.check(tasks)
        walls = np.ones((len(array), self.size, self.size), dtype=np.bool_)
        walls[:, 1:-1, 1:-1] = self._unpack(array).reshape(-1, self.side, self.side)
        return walls

    def place(self, cell: int) -> tuple[int, int]:
        """Return (row, column) of a cell as tasks number them, the outer wall counted."""
        return int(cell) // self.side + 1, int(cell) % self.side + 1

    def encode(
        self, walls: ArrayLike, agent: tuple[int, int], direction: int, goal: tuple[int, int]
    ) -> IntArray:
        """Return the task with these walls, start and goal.

        Args:
            walls: ``(size, size)``, true where a wall is; the outer wall is taken for granted.
            agent: Its (row, column), the outer wall counted.
            direction: 0 right, 1 down, 2 left, 3 up.
            goal: Its (row, column).

        Raises:
            ValueError: If a shape is wrong or the task is not in the space.
        """
        grid = np.asarray(walls, dtype=np.bool_)
        if grid.shape != (self.size, self.size):
            raise ValueError(f"walls must have shape ({self.size}, {self.size}), got {grid.shape}")
        for name, (row, column) in (("agent", agent), ("goal", goal)):
            if not (1 <= row <= self.side and 1 <= column <= self.side):
                raise ValueError(
                    f"{name} must be within the outer wall, from 1 to {self.side}, got "
                    f"{(row, column)}"
                )
        cells = [(row - 1) * self.side + column - 1 for row, column in (agent, goal)]
        inner = grid[1:-1, 1:-1].reshape(1, self.cells)
        return np.asarray(self.check(self._pack(inner, cells[0], direction, cells[1]))[0])

    def parse(self, text: str) -> IntArray:
        """Return the task that a drawing shows: ``#`` wall, ``.`` free, ``>v<^`` agent, ``G`` goal.

        Lines end with white space.

        Raises:
            ValueError: If the drawing is not ``size`` lines of that many characters with one agent
                and one goal.
        """
        lines = text.split()
        shape = [len(line) for line in lines]
        if shape != [self.size] * self.size:
            raise ValueError(f"a maze is {self.size} lines of {self.size} characters, got {shape}")
        found: dict[str, list[tuple[int, int]]] = {}
        for r, line in enumerate(lines):
            for c, character in enumerate(line):
                found.setdefault(character, []).append((r, c))
        unknown = set(found) - set("#.G" + ARROWS)
        agents = [(place, ARROWS.index(a)) for a in ARROWS for place in found.get(a, [])]
        if unknown or len(agents) != 1 or len(found.get("G", [])) != 1:
            raise ValueError(
                f"a maze has one agent ({ARROWS}), one goal (G), walls (#) and free cells (.), got "
                f"{len(agents)} agents, {len(found.get('G', []))} goals and {sorted(unknown)}"
            )
        walls = np.array([[character == "#" for character in line] for line in lines])
        return self.encode(walls, agents[0][0], agents[0][1], found["G"][0])

    def draw(self, task: ArrayLike) -> str:
        """Return a drawing of one task that :meth:`parse` reads."""
        (walls,) = self.walls(task)
        row = self.as_array(task)[0]
        lines = np.where(walls, "#", ".")
        lines[self.place(row[-3])] = ARROWS[row[-2]]
        lines[self.place(row[-1])] = "G"
        return "\n".join("".join(line) for line in lines.tolist())

    # The contract of task spaces -----------------------------------------------------------------

    def as_array(self, tasks: ArrayLike) -> IntArray:
        """Return tasks as int64 ``(n, size + 1)``; one task becomes one row.

        Raises:
            ValueError: If the shape is another, or a number is not whole.
        """
        array = np.asarray(tasks)
        if array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != len(self.names):
            raise ValueError(
                f"tasks must have shape (n, {len(self.names)}) for {self!r}, got {np.shape(tasks)}"
            )
        if array.dtype.kind not in "iu":
            numbers = array.astype(np.float64)
            if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
                raise ValueError(f"tasks of {self!r} must be whole numbers")
        return array.astype(np.int64, copy=False)

    def _faults(self, tasks: IntArray) -> Iterator[tuple[str, BoolArray]]:
        """Yield each rule and the tasks that break it."""
        outside = (tasks < 0) | (tasks >= self._bounds)
        for column, name in enumerate(self.names):
            if outside[:, column].any():
                yield f"{name} must be in [0, {self._bounds[column] - 1}]", outside[:, column]
        for column, name in ((-3, "agent"), (-1, "goal")):
            row, bit = np.divmod(np.clip(tasks[:, column], 0, self.cells - 1), self.side)
            walled = tasks[np.arange(len(tasks)), row] >> bit & 1 != 0
            yield f"{name} must stand on a free cell", walled
        yield "agent and goal must stand on different cells", tasks[:, -3] == tasks[:, -1]

    def contains(self, tasks: ArrayLike) -> BoolArray:
        """Tell for each task whether agent and goal stand on two different free cells."""
        array = self.as_array(tasks)
        inside = np.ones(len(array), dtype=np.bool_)
        for _, broken in self._faults(array):
            inside &= ~broken
        return inside

    def check(self, tasks: ArrayLike) -> IntArray:
        """Return tasks as an array.

        Raises:
            ValueError: If a task is not in the space, naming the rule.
        """
        array = self.as_array(tasks)
        for rule, broken in self._faults(array):
            if broken.any():
                row = int(np.argmax(broken))
                raise ValueError(
                    f"task is outside its space: {rule}, got {array[row].tolist()} (row {row})"
                )
        return array

    def sample(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw mazes: 0 to ``max_blocks`` blocks, each number as likely, then everything anywhere.

        They are not made solvable: in the papers too it is the teacher who has to notice.
        """
        blocks = rng.integers(self.max_blocks + 1, size=n)
        return self._scatter(blocks, rng)

    def easy(self, n: int, rng: np.random.Generator) -> IntArray:
        """Draw empty rooms, with start and goal anywhere."""
        return self._scatter(np.zeros(n, dtype=np.int64), rng)

    def _scatter(self, blocks: IntArray, rng: np.random.Generator) -> IntArray:
        n = len(blocks)
        order = rng.random((n, self.cells)).argsort(axis=1)
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(self.cells)[None], axis=1)
        last = np.arange(n)
        agent, goal = order[last, blocks], order[last, blocks + 1]
        return self._pack(rank < blocks[:, None], agent, rng.integers(4, size=n), goal)

    @property
    def choices(self) -> tuple[int, int]:
        """A cell each: the agent's, its direction (modulo 4), the goal's, then every block's."""
        return self.max_blocks + 3, self.cells

    def from_choices(self, choices: ArrayLike) -> IntArray:
        """Return the mazes that rows of cells build, one after the other.

        A goal on the agent's cell goes to the next one; a block on agent, goal or another block
        changes nothing.

        Raises:
            ValueError: If the shape is wrong or a choice is no cell.
        """
        rows = np.asarray(choices, dtype=np.int64)
        if rows.ndim != 2 or rows.shape[1] != self.choices[0]:
            raise ValueError(f"choices must have shape (n, {self.choices[0]}), got {rows.shape}")
        if ((rows < 0) | (rows >= self.cells)).any():
            raise ValueError(f"choices must be cells from 0 to {self.cells - 1}")
        agent, direction, goal = rows[:, 0], rows[:, 1] % 4, rows[:, 2]
        goal = np.where(goal == agent, (goal + 1) % self.cells, goal)
        walls = np.zeros((len(rows), self.cells), dtype=np.bool_)
        index = np.arange(len(rows))
        walls[index[:, None], rows[:, 3:]] = True
        walls[index, agent] = walls[index, goal] = False
        return self._pack(walls, agent, direction, goal)

    def edit(self, tasks: ArrayLike, rng: np.random.Generator, size: float = 0.1) -> IntArray:
        """Change a few cells: a block goes or comes, or (one time in five) agent or goal moves.

        Args:
            tasks: Mazes.
            rng: Draws the changes.
            size: Number of changes, as a share of the inner side; at least one is made.
        """
        array = self.check(tasks).copy()
        for _ in range(max(1, round(size * self.side))):
            array = self._edited(array, rng)
        return array

    def _edited(self, tasks: IntArray, rng: np.random.Generator) -> IntArray:
        """Make one change to each task."""
        n = len(tasks)
        index = np.arange(n)
        walls, agent, direction, goal = self._unpack(tasks), *tasks[:, -3:].T.copy()
        moves = rng.random(n) < MOVE_CHANCE
        of_goal = rng.random(n) < 0.5
        keys = rng.random((n, self.cells))
        turned = rng.integers(4, size=n)
        keys[index, agent] = keys[index, goal] = -1.0
        # Who moves needs a free cell; a block comes or goes at any cell but those two.
        keys[moves] = np.where(walls[moves], -1.0, keys[moves])
        cell = keys.argmax(axis=1)
        possible = keys[index, cell] >= 0.0
        flips = ~moves
        walls[index[flips], cell[flips]] ^= True
        goal = np.where(moves & of_goal & possible, cell, goal)
        moved = moves & ~of_goal & possible
        return self._pack(
            walls, np.where(moved, cell, agent), np.where(moved, turned, direction), goal
        )

    def distance(self, task: ArrayLike) -> int | None:
        """Return the least number of actions from start to goal, or None where there is no way."""
        return distance(self.board(self.as_array(task)[0]))

    def board(self, task: IntArray) -> Board:
        """Return one task as the solver takes it."""
        *rows, agent, direction, goal = task.tolist()
        return Board(tuple(rows), agent, direction, goal)

    def difficulty_of(self, tasks: ArrayLike) -> NDArray[np.float64]:
        """Return the least number of actions to each goal; out of reach is ``4 * cells``."""
        found = [distance(self.board(task)) for task in self.as_array(tasks)]
        return np.array([4 * self.cells if d is None else d for d in found], dtype=np.float64)

    def hand_made(self) -> dict[str, IntArray]:
        """Return the hand-made mazes that fit this size, by name."""
        found = {}
        for name, (least, drawn) in LAYOUTS.items():
            if self.side >= least:
                inner, start, goal = drawn(self.side)
                walls = np.ones((self.size, self.size), dtype=np.bool_)
                walls[1:-1, 1:-1] = inner
                places = [(row + 1, column + 1) for row, column in (start, goal)]
                found[name] = self.encode(walls, places[0], 0, places[1])
        return found

    def as_dict(self, task: Any) -> dict[str, Any]:
        """Return a few words on one task: its name or number of blocks, distance, start, goal."""
        row = self.check(task)[0]
        named = [name for name, other in self.hand_made().items() if np.array_equal(row, other)]
        way = self.distance(row)
        return {
            "maze": named[0] if named else f"{int(self._unpack(row[None]).sum())} blocks",
            "distance": "no way" if way is None else way,
            "agent": "{}/{} {}".format(*self.place(row[-3]), DIRECTIONS[row[-2]]),
            "goal": "{}/{}".format(*self.place(row[-1])),
        }

    def config(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "type": "levels",
            "class": f"{type(self).__module__}:{type(self).__qualname__}",
            "arguments": {"size": self.size, "max_blocks": self.max_blocks},
        }

    @property
    def gym_space(self) -> gymnasium.spaces.MultiDiscrete:
        """``gymnasium.spaces.MultiDiscrete`` of rows, agent, direction and goal."""
        return gymnasium.spaces.MultiDiscrete(self._bounds)
