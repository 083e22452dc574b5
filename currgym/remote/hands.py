"""Ray workers that make attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from currgym.remote.attempts import Attempt, Ticket
from currgym.remote.connection import connect, disconnect, end, ray, wait_for_room

__all__ = ["RayHands"]

RETRIES = 2


class _Actor:
    """What a worker is."""

    def __init__(self, make_attempt: Callable[[], Attempt]) -> None:
        self._attempt = make_attempt()

    def ready(self) -> None:
        """Return once it is built."""

    def attempt(self, task: Any, seed: int) -> dict[str, float]:
        """Make one attempt."""
        return dict(self._attempt(task, seed))


class RayHands:
    """Gives tickets to Ray workers, each to one that has the fewest.

    Args:
        make_attempt: Makes, in each worker, what makes an attempt.
        workers: How many.
        address: Of the cluster.
    """

    def __init__(
        self, make_attempt: Callable[[], Attempt], workers: int, address: str | None
    ) -> None:
        self._ours = connect(address, workers, least=workers)
        self._make = ray.put(make_attempt)
        self.most = 2 * workers  # one that is played, one that waits beside it
        self._actors = [self._hire() for _ in range(workers)]
        self._loads = [0] * workers
        self._under_way: dict[Any, tuple[Ticket, int]] = {}
        self._lost: dict[int, int] = {}
        try:
            wait_for_room([actor.ready.remote() for actor in self._actors])
        except BaseException:
            self.close()
            raise

    def _hire(self) -> Any:
        return ray.remote(num_cpus=1, max_restarts=0)(_Actor).remote(self._make)

    def __len__(self) -> int:
        return len(self._under_way)

    def give(self, ticket: Ticket) -> None:
        """Send a ticket to a worker."""
        worker = self._loads.index(min(self._loads))
        said = self._actors[worker].attempt.remote(ticket.task, ticket.seed)
        self._under_way[said] = ticket, worker
        self._loads[worker] += 1

    def take(self) -> list[tuple[int, Mapping[str, float]]]:
        """Wait for something to be finished; return all that is: (id, columns)."""
        ready, _ = ray.wait(list(self._under_way), num_returns=1)
        if len(self._under_way) > 1:  # and whatever else is there
            ready, _ = ray.wait(list(self._under_way), num_returns=len(self._under_way), timeout=0)
        found: list[tuple[int, Mapping[str, float]]] = []
        for said in ready:
            if said not in self._under_way:  # given anew, with all that its worker had
                continue
            ticket, worker = self._under_way[said]
            try:
                found.append((ticket.id, ray.get(said)))
            except ray.exceptions.RayActorError as error:
                self._replace(worker, ticket, error)
                continue
            except ray.exceptions.RayTaskError as error:
                raise RuntimeError(
                    f"the attempt at task {ticket.task} with seed {ticket.seed} (ticket "
                    f"{ticket.id}) failed: {error.cause!r}"
                ) from error
            del self._under_way[said]
            self._loads[worker] -= 1
        return found

    def _replace(self, worker: int, first: Ticket, error: Exception) -> None:
        """Put another worker in the place of one that is gone, and give it what that had."""
        # The oldest of its tickets was at work; it may be what ends workers.
        had = {said: t for said, (t, w) in self._under_way.items() if w == worker}
        oldest = min(had.values())
        self._lost[oldest.id] = times = self._lost.get(oldest.id, 0) + 1
        if times > RETRIES:
            raise RuntimeError(
                f"task {oldest.task} with seed {oldest.seed} (ticket {oldest.id}) has lost its "
                f"worker {times} times: {type(error).__name__}"
            ) from error
        end(self._actors[worker])
        self._actors[worker] = self._hire()
        for said, ticket in had.items():
            del self._under_way[said]
            again = self._actors[worker].attempt.remote(ticket.task, ticket.seed)
            self._under_way[again] = ticket, worker

    def close(self) -> None:
        """End the workers."""
        for actor in self._actors:
            end(actor)
        self._actors = []
        if self._ours:
            self._ours = False
            disconnect()
