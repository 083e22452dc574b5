"""Uniform runs, forks of their checkpoints on every cell, and the probes: run, gather, resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from currgym.curriculum import Ledger
from currgym.doctor.headroom.analysis import Forks, Grid, Summary, summarise
from currgym.doctor.headroom.cells import Cells
from currgym.doctor.headroom.signals import Probes, probe, signals
from currgym.doctor.headroom.studied import teacher_scores
from currgym.runs.config import RunConfig
from currgym.runs.evaluation import TestSet
from currgym.runs.run import Run
from currgym.runs.seeding import seed_for
from currgym.studies.engines import Event, Job, make_engine

__all__ = ["Headroom", "Plan", "measure"]

FloatArray = NDArray[np.float64]
IN_CELL = 256
"""Tasks drawn once from a cell, among which a fork's episodes choose."""
ROLLOUT = 128
Progress = Callable[[str, int, int], None]
"""Told what is going on, the steps done, and the steps in all."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        base: The uniform run; its seed is replaced.
        seeds: Uniform runs.
        checkpoints: To fork from, evenly over each run, its end included.
        fork_steps: Steps of a fork; None takes a twentieth of the run, in whole rollouts.
        repeats: Forks on each cell, at least 2; twice as many of the uniform control.
        probes: Attempts in each cell at each checkpoint for the signals.
        evaluations: (task, seed) pairs in each cell that value a fork, at least 2.
        dimensions: Of the grid; None for the first two.
        study: Folder of a comparison or study whose teachers are looked at too.
    """

    base: RunConfig
    seeds: tuple[int, ...] = (0, 1)
    checkpoints: int = 5
    fork_steps: int | None = None
    repeats: int = 2
    probes: int = 8
    evaluations: int = 4
    dimensions: tuple[str, ...] | None = None
    study: str | None = None

    def __post_init__(self) -> None:
        for name, low in (("checkpoints", 1), ("repeats", 2), ("probes", 2), ("evaluations", 2)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, got {getattr(self, name)}")
        if not self.seeds:
            raise ValueError("seeds must name at least one run")

    def settled(self) -> Plan:
        """Return the plan with rollouts that fit in a fork, and all steps in whole ones."""
        base = self.base
        parameters = dict(base.student_parameters)
        rollout = 1
        if base.kind == "rl":
            from currgym.runs.settings import student_parameters

            named = student_parameters(base.student, parameters)
            known = named.get("n_steps")
            if known is not None and known.default is not known.empty:
                # A rollout of the default 2048 steps in 16 environments is longer than a fork.
                parameters.setdefault("n_steps", min(known.default, ROLLOUT))
                if "gradient_steps" not in named:
                    rollout = int(parameters["n_steps"]) * base.num_envs
        wanted = self.fork_steps or max(1, base.steps // 20)
        apart = _whole(-(-base.steps // self.checkpoints), rollout)
        return replace(
            self,
            base=replace(base, student_parameters=parameters, steps=apart * self.checkpoints),
            fork_steps=_whole(wanted, rollout),
        )

    def steps(self, cells: int) -> int:
        """Return the environment steps of all training in a settled plan."""
        forks = self.checkpoints * self.repeats * (cells + 2)
        assert self.fork_steps is not None
        return len(self.seeds) * (self.base.steps + forks * self.fork_steps)

    def to_json(self) -> dict[str, Any]:
        """Return what identifies the measurement; the study adds columns and is left out."""
        document = asdict(self)
        del document["study"]
        return json.loads(json.dumps(document))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """Read back :meth:`to_json`, of an earlier version too: what it lacks has its default."""
        fields = dict(document)
        base = RunConfig(**fields.pop("base"))
        for name in ("seeds", "dimensions"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(base, **fields)


def _whole(steps: int, rollout: int) -> int:
    """Return the steps rounded up to whole rollouts."""
    return -(-steps // rollout) * rollout


@dataclass(frozen=True)
class Headroom:
    """What was measured.

    Attributes:
        plan: As settled.
        cells: The grid.
        forks: Of every checkpoint of every seed.
        summary: Of all.
        ledger: All that was spent: uniform runs, forks, probes and evaluations.
        scale: Raw returns that count as 0 and 1.
    """

    plan: Plan
    cells: Cells
    forks: list[Forks]
    summary: Summary
    ledger: Ledger
    scale: tuple[float, float]

    def signal_document(self) -> dict[str, Any]:
        """Return ``signal.json``."""
        return {
            "format": 1,
            "env": self.plan.base.env,
            "student": self.plan.base.student,
            "names": self.cells.names,
            "tasks": self._tasks(),
            "checkpoints": [
                {
                    "step": f.step,
                    "seed": f.seed,
                    "gain": f.gain.tolist(),
                    "gain_se": [f.gain_error] * len(self.cells),
                    "uniform_gain": f.uniform_gain,
                    "scores": {name: score.tolist() for name, score in f.scores.items()},
                    "transfer": f.transfer.tolist(),
                    "ceiling": f.ceiling,
                }
                for f in self.forks
            ],
        }

    def _tasks(self) -> list[list[Any]]:
        centres = self.cells.centres()
        if centres.ndim == 1:
            return [[int(task)] for task in centres]
        names = list(self.cells.space.names)
        columns = [names.index(name) for name in self.cells.names]
        found: list[list[Any]] = centres[:, columns].tolist()
        return found


def measure(
    plan: Plan, out: Path, jobs: int = 1, progress: Progress = lambda what, done, total: None
) -> Headroom:
    """Train, fork, probe and summarise; what an earlier call has done in ``out`` is kept.

    Args:
        plan: What to do.
        out: Folder: new, or that of an interrupted measurement with the same plan.
        jobs: Runs at once.
        progress: Told where it stands.

    Raises:
        ValueError: If ``out`` holds another measurement, the space cannot be cut in cells, or a
            fork failed.
        KeyboardInterrupt: After Ctrl-C; call again to go on.
    """
    plan = plan.settled()
    _claim(plan, out)
    runs, cells = _uniform_runs(plan, out)
    works = _Works(plan, out, runs, cells, jobs, progress)
    try:
        works.train_uniform()
        works.train_forks()
    finally:
        works.close()
    return works.gather()


def _claim(plan: Plan, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path, document = out / "plan.json", plan.to_json()
    if path.exists():
        try:
            known = Plan.from_json(json.loads(path.read_text(encoding="utf-8"))).to_json()
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no plan of a measurement: {error}") from None
        if known != document:
            raise ValueError(f"{out} holds a measurement with other settings: choose another --out")
        return
    if any(out.iterdir()):
        raise FileExistsError(f"{out} holds other files: choose another --out")
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")


def _uniform_runs(plan: Plan, out: Path) -> tuple[list[Run], Cells]:
    """Create or open the uniform runs, each with evaluation tasks in every cell."""
    interval = plan.base.steps // plan.checkpoints
    cells: Cells | None = None
    runs = []
    for seed in plan.seeds:
        folder = out / f"uniform-{seed}"
        if (folder / "config.json").exists():
            run = Run.open(folder, trust=True)  # written by this plan
            space = _space(run.config)
        else:
            config = replace(
                plan.base,
                teacher="random",
                teacher_parameters={},
                preset=None,
                seed=seed,
                evaluate_every=interval,
                milestones=[interval * k for k in range(plan.checkpoints)] + [plan.base.steps],
                label="uniform",
            )
            space = _space(config)
            cells = Cells(space, plan.dimensions)
            run = Run.create(config, folder, test_set=_test_set(cells, plan.evaluations))
        cells = cells or Cells(space, plan.dimensions)
        runs.append(run)
    assert cells is not None
    return runs, cells


def _space(config: RunConfig) -> Any:
    from currgym.runs.session import open_teacher

    return open_teacher(config).space


def _test_set(cells: Cells, per_cell: int) -> TestSet:
    """Return tasks in every cell with a seed each, common to all runs and forks."""
    rng = np.random.default_rng([314_159, len(cells), per_cell])
    tasks = np.concatenate([cells.sample(c, per_cell, rng) for c in range(len(cells))])
    return TestSet("cells", tasks, rng.integers(2**31 - 1, size=(len(tasks), 1)))


@dataclass
class _Fork:
    """One fork to be trained: on a cell, or on the whole space where ``cell`` is None."""

    run: Run
    step: int
    cell: int | None
    repeat: int
    folder: Path


class _Works:
    """The runs of a measurement, and where they stand."""

    def __init__(
        self,
        plan: Plan,
        out: Path,
        runs: Sequence[Run],
        cells: Cells,
        jobs: int,
        progress: Progress,
    ) -> None:
        self.plan, self.out, self.runs, self.cells = plan, out, list(runs), cells
        self._progress = progress
        self._engine = make_engine("pool" if jobs > 1 else "inline", jobs, plan.base.threads)
        self._total = plan.steps(len(cells))
        self._done = 0

    def close(self) -> None:
        self._engine.close()

    # Training ------------------------------------------------------------------------------------

    def train_uniform(self) -> None:
        """Train the uniform runs."""
        todo = [run for run in self.runs if not run.finished]
        self._done += sum(r.config.steps for r in self.runs if r.finished)
        jobs = [Job(str(run.folder), run.config, run.folder) for run in todo]
        self._perform("uniform runs", jobs, {job.key: 0 for job in jobs})

    def train_forks(self) -> None:
        """Train the forks of one checkpoint after the other."""
        self._grid()  # refused before anything is spent on forks
        assert self.plan.fork_steps is not None
        per_run = self.plan.fork_steps
        for run in self.runs:
            for k, step in enumerate(_steps(run), 1):
                todo = []
                for fork in self._forks(run, step):
                    if (fork.folder / "summary.json").exists():
                        self._done += per_run
                    else:
                        todo.append(fork)
                jobs = [self._begin(fork) for fork in todo]
                what = f"seed {run.config.seed}, forks of checkpoint {k} of {self.plan.checkpoints}"
                self._perform(what, jobs, {job.key: step for job in jobs})
                for fork in todo:
                    # Nothing goes on from a fork.
                    for name in ("checkpoints", "replay", "tensorboard"):
                        shutil.rmtree(fork.folder / name, ignore_errors=True)

    def _forks(self, run: Run, step: int) -> Iterator[_Fork]:
        folder = self.out / "forks" / f"{run.config.seed}-{step}"
        for repeat in range(self.plan.repeats):
            for cell in range(len(self.cells)):
                yield _Fork(run, step, cell, repeat, folder / f"cell{cell}-{repeat}")
        for repeat in range(2 * self.plan.repeats):
            yield _Fork(run, step, None, repeat, folder / f"uniform-{repeat}")

    def _begin(self, fork: _Fork) -> Job:
        assert self.plan.fork_steps is not None
        if (fork.folder / "checkpoints").is_dir() and (fork.folder / "config.json").exists():
            run = Run.open(fork.folder, trust=True)
            if run.begun:
                return Job(str(fork.folder), run.config, fork.folder)
        shutil.rmtree(fork.folder, ignore_errors=True)
        teacher, parameters = "random", {}
        if fork.cell is not None:
            rng = np.random.default_rng([161_803, fork.cell, fork.repeat])
            tasks = self.cells.sample(fork.cell, IN_CELL, rng)
            teacher, parameters = "target", {"target": tasks.tolist()}
        steps = fork.step + self.plan.fork_steps
        made = fork.run.fork(
            fork.step,
            fork.folder,
            teacher,
            parameters,
            steps=steps,
            # The same for every cell of a repeat, so that they differ in their tasks alone.
            seed=seed_for(fork.run.config.seed, f"fork {fork.step} {fork.repeat}"),
            evaluate_every=steps,
        )
        return Job(str(fork.folder), made.config, fork.folder)

    def _perform(self, what: str, jobs: Sequence[Job], begun: dict[str, int]) -> None:
        running: dict[str, int] = {}
        failed: list[str] = []

        def listen(event: Event) -> None:
            if event.kind in ("failed", "busy"):
                failed.append(f"{event.key}: {event.error}")
            elif event.kind in ("progress", "done"):
                running[event.key] = max(0, event.steps - begun[event.key])
            self._progress(what, self._done + sum(running.values()), self._total)

        if jobs:
            self._engine.run(jobs, listen)
        if failed:
            raise ValueError("a run failed: " + failed[0])
        self._done += sum(running.values())

    # Gathering -----------------------------------------------------------------------------------

    def gather(self) -> Headroom:
        """Read what all runs have left, and probe every checkpoint."""
        scale, grid = self._scale(), self._grid()
        ledger = Ledger()
        forks: list[Forks] = []
        for run in self.runs:
            _charge(ledger, _ledger(run.folder, fork=False))
            probes: list[Probes] = []
            steps = run.milestones
            for k, step in enumerate(steps):
                self._progress(
                    f"probing checkpoint {k} of {len(steps) - 1}", self._done, self._total
                )
                probes.append(probe(run, step, self.cells, self.plan.probes))
                _charge(ledger, asdict(probes[-1].ledger))
                if k == 0:
                    continue  # there to measure progress from
                seed = seed_for(run.config.seed, f"ensemble {step}")
                scores = signals(probes[-1], probes[:-1], self.cells, scale, seed)
                if self.plan.study is not None:
                    scores |= teacher_scores(Path(self.plan.study), self.cells, step)
                forks.append(self._of(run, step, scale, grid, scores, ledger))
        return Headroom(self.plan, self.cells, forks, summarise(forks), ledger, scale)

    def _of(
        self,
        run: Run,
        step: int,
        scale: tuple[float, float],
        grid: Grid,
        scores: dict[str, FloatArray],
        ledger: Ledger,
    ) -> Forks:
        before, rows = _evaluation(run.folder, step, scale)
        on_cells: list[list[FloatArray]] = [[] for _ in range(len(self.cells))]
        uniform: list[FloatArray] = []
        for fork in self._forks(run, step):
            after, same = _evaluation(fork.folder, None, scale)
            if not np.array_equal(rows, same):
                raise ValueError(f"{fork.folder} was evaluated on other tasks than its source")
            _charge(ledger, _ledger(fork.folder, fork=True))
            (uniform if fork.cell is None else on_cells[fork.cell]).append(after)
        return Forks(
            run.config.seed, step, before, np.array(on_cells), np.array(uniform), scores, grid
        )

    def _grid(self) -> Grid:
        """Return how evaluation rows belong to cells: the same of every run and fork."""
        folder = self.runs[0].folder
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tasks = self.cells.space.check(document["test_set"]["tasks"])
        _, rows = _evaluation(folder, None, (0.0, 1.0))
        return Grid(self.cells.index(tasks)[rows], self._target())

    def _scale(self) -> tuple[float, float]:
        """Return the raw returns that count as 0 and 1."""
        folder = self.runs[0].folder
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        known = document["return_range"]
        if known is not None:
            return float(known[0]), float(known[1])
        returns = np.concatenate([_table(run.folder)[:, 2] for run in self.runs])
        low, high = np.quantile(returns, [0.05, 0.95]).tolist()
        return low, high if high > low else low + 1.0

    def _target(self) -> FloatArray:
        config = self.runs[0].config
        if config.kind != "rl":
            return self.cells.weights(None)
        import gymnasium

        from currgym.runs.config import environment_id

        env = gymnasium.make(environment_id(config.env), **config.env_parameters)
        try:
            has = env.has_wrapper_attr("target")
            return self.cells.weights(env.get_wrapper_attr("target") if has else None)
        finally:
            env.close()


def _steps(run: Run) -> list[int]:
    """Return the checkpoints to fork from: all milestones but the untrained student."""
    return run.milestones[1:]


def _table(folder: Path) -> FloatArray:
    """Return step, task index and return of every evaluation row."""
    path = folder / "evaluations.csv"
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 2, 4), ndmin=2)


def _evaluation(
    folder: Path, step: int | None, scale: tuple[float, float]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return scaled returns and task indices of the evaluation at a step (the last by default)."""
    rows = _table(folder)
    rows = rows[rows[:, 0] == (rows[:, 0].max() if step is None else step)]
    if len(rows) == 0:
        raise ValueError(f"{folder} was not evaluated at step {step}")
    low, high = scale
    return np.clip((rows[:, 2] - low) / (high - low), 0.0, 1.0), rows[:, 1].astype(np.int64)


def _ledger(folder: Path, fork: bool) -> dict[str, int]:
    """Return what a run has spent itself."""
    spent: dict[str, int] = json.loads((folder / "summary.json").read_text())["ledger"]
    if not fork:
        return spent
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    before = document["forked_from"]["ledger"]
    return {name: count - int(before.get(name, 0)) for name, count in spent.items()}


def _charge(ledger: Ledger, amounts: dict[str, int]) -> None:
    ledger.charge(**amounts)
