"""Whole episodes, played by workers that hold an environment and a behaviour.

A ticket (id, task, seed) travels out and its outcome (id, return, length, ...) travels back; the
teacher stays where it is. An attempt is a function of its task and seed, so one whose worker dies
is made again by another.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from currgym.curriculum import Curriculum

if TYPE_CHECKING:
    from currgym.runs.logs import Logs

__all__ = ["Attempt", "Attempts", "Player", "Ticket", "play"]

Attempt = Callable[[Any, int], Mapping[str, float]]
"""Makes one attempt at (task, seed); returns its columns: ``returns`` and what else is known."""


class Ticket(NamedTuple):
    """What travels out."""

    id: int
    task: Any
    seed: int


class Played(NamedTuple):
    """One finished episode.

    Attributes:
        columns: Of :class:`currgym.Outcomes`, one number each.
        rewards: Of each step.
        final: The last observation.
        info: Of the last step.
    """

    columns: dict[str, float]
    rewards: list[float]
    final: Any
    info: dict[str, Any]


def play(
    env: Any, task: Any, seed: int, act: Callable[[Any], Any], mastery: float | None = None
) -> Played:
    """Play one episode.

    Args:
        env: An environment that takes tasks.
        task: To play.
        seed: Of the episode.
        act: Gives the action for an observation.
        mastery: Return above which it succeeds where ``info["success"]`` says nothing.
    """
    observation, info = env.reset(seed=seed, options={"task": task})
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(act(observation))
        rewards.append(float(reward))
    total = sum(rewards)
    columns = {
        "returns": total, "lengths": len(rewards), "terminated": terminated, "truncated": truncated,
    }  # fmt: skip
    success = info.get("success")
    if success is not None:
        columns["successes"] = float(success)
    elif mastery is not None:
        columns["successes"] = float(total > mastery)
    return Played(columns, rewards, observation, info)


class Player:
    """Makes the attempts of one behaviour in one environment; built anew in every worker.

    Args:
        env: Id, with a module part where that has to be imported (``"currgym:currgym/..."``).
        behaviour: Makes the function from observation to action, in the worker.
        **parameters: Of the environment.

    >>> player = Player("currgym/CartPole-v0", lambda: lambda observation: 0)
    >>> attempt = player()
    >>> attempt(None, 3)["returns"] < 20
    True
    """

    def __init__(
        self, env: str, behaviour: Callable[[], Callable[[Any], Any]], **parameters: Any
    ) -> None:
        self.env, self.behaviour, self.parameters = env, behaviour, parameters

    def __call__(self) -> Attempt:
        """Build environment and behaviour; return what makes an attempt."""
        import gymnasium

        env = gymnasium.make(self.env, **self.parameters)
        act = self.behaviour()
        mastery = env.get_wrapper_attr("mastery") if env.has_wrapper_attr("mastery") else None
        return lambda task, seed: play(env, task, seed, act, mastery).columns


class Attempts:
    """Hands a curriculum's tickets to workers and settles what comes back.

    With ``Curriculum(teacher, ordered=True, lag=k)`` every run is the same, however many workers
    there are and whoever is first: ticket ``i`` is drawn when exactly the outcomes below
    ``i - k + 1`` have reached the teacher, so at most ``k`` attempts are under way; twice as many
    as workers keep all of them busy. Without order nobody waits, and no two runs are the same.

    Args:
        curriculum: Keeps tasks, seeds and counts; it and its teacher stay in this process.
        make_attempt: Makes, in each worker, the function from (task, seed) to the columns of the
            outcome, ``returns`` among them. A :class:`Player`, for example. It must not learn.
        workers: Ray workers; 0 makes the attempts here, one after the other.
        address: Of the Ray cluster; by default one that is found, else one is started here.
        folder: Where ``config.json`` (it says whether the run is repeatable) and ``episodes.csv``
            go; None keeps no log.

    Raises:
        ImportError: If there are to be workers and Ray is not installed.
        ValueError: If the cluster has not as many CPUs as there are to be workers.

    >>> from currgym import BoxTasks, Curriculum, make_teacher
    >>> teacher = make_teacher("random", BoxTasks([0], [1]), seed=0)
    >>> make = lambda: lambda task, seed: {"returns": float(task[0] > 0.5)}
    >>> with Attempts(Curriculum(teacher, ordered=True, lag=4), make) as attempts:
    ...     attempts.run(100)
    >>> teacher.proposed
    100
    """

    def __init__(
        self,
        curriculum: Curriculum,
        make_attempt: Callable[[], Attempt],
        workers: int = 0,
        *,
        address: str | None = None,
        folder: str | Path | None = None,
    ) -> None:
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.curriculum = curriculum
        self.workers = workers
        self._logs = None if folder is None else self._log_to(Path(folder))
        self._asked = False
        self._hands: Any
        if workers:
            from currgym.remote.hands import RayHands

            self._hands = RayHands(make_attempt, workers, address)
        else:
            self._hands = _Here(make_attempt)

    @property
    def repeatable(self) -> bool:
        """Whether another run with the same seeds is the same: with order and lag, or alone."""
        return self.curriculum.lag is not None or not self.workers

    def describe(self) -> dict[str, Any]:
        """Return what ``config.json`` says."""
        curriculum = self.curriculum
        return {
            "kind": "attempts",
            "teacher": getattr(curriculum.teacher, "name", type(curriculum.teacher).__name__),
            "seed": curriculum.seed,
            "workers": self.workers,
            "ordered": curriculum.ordered,
            "lag": curriculum.lag,
            "repeatable": self.repeatable,
        }

    def run(self, attempts: int) -> None:
        """Make so many attempts; all of them have reached the teacher in the end.

        The teacher's requests are attempts too, and count.

        Raises:
            RuntimeError: If an attempt fails, or loses worker after worker; the task is named.
        """
        left = attempts
        while left > 0 or len(self._hands):
            while left > 0 and self._may_issue():
                left -= self._issue()
            for id, columns in self._hands.take():
                self._settle(id, columns)
        self.curriculum.finish()
        if self._logs is not None:
            self._logs.show()

    def _may_issue(self) -> bool:
        if self.curriculum.lag is not None:
            return self.curriculum.ready > 0
        return len(self._hands) < int(self._hands.most)

    def _issue(self) -> int:
        # In turns, so that a teacher that always asks is not the only one to be served.
        self._asked = not self._asked
        tickets = self.curriculum.requests() if self._asked else None
        if tickets is None:
            tickets = self.curriculum.issue(1)
            self._asked = False
        for id, task, seed in zip(
            tickets.ids.tolist(), tickets.tasks, tickets.seeds.tolist(), strict=True
        ):
            self._hands.give(Ticket(id, task, seed))
        return len(tickets.ids)

    def _settle(self, id: int, columns: Mapping[str, float]) -> None:
        given: dict[str, Any] = {name: np.atleast_1d(v) for name, v in columns.items()}
        self.curriculum.settle([id], given.pop("returns"), **given)

    def _log_to(self, folder: Path) -> Logs:
        from currgym.runs.logs import Logs
        from currgym.runs.recorder import CallRecorder, episode_header

        if (folder / "config.json").exists():
            raise FileExistsError(f"{folder} holds another run: choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.describe(), indent=1)
        (folder / "config.json").write_text(text, encoding="utf-8")
        header = episode_header(self.curriculum.teacher.space, ())  # type: ignore[attr-defined]
        logs = Logs(
            folder, {"episodes.csv": header, "probes.csv": header, "calls.csv": "call,count"}
        )
        self.curriculum.recorder = CallRecorder(logs)
        return logs

    def close(self) -> None:
        """End the workers, and the log."""
        self._hands.close()
        if self._logs is not None:
            self.curriculum.recorder = None
            self._logs.close()
            self._logs = None

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Here:
    """Makes attempts in this process, in the order in which they are asked for."""

    most = 1

    def __init__(self, make_attempt: Callable[[], Attempt]) -> None:
        self._attempt = make_attempt()
        self._waiting: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def give(self, ticket: Ticket) -> None:
        self._waiting.append(ticket)

    def take(self) -> list[tuple[int, Mapping[str, float]]]:
        """Return what is finished: (id, columns)."""
        ticket = self._waiting.popleft()
        return [(ticket.id, self._attempt(ticket.task, ticket.seed))]

    def close(self) -> None:
        """Nothing to end."""
