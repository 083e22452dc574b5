"""A study at work: what is missing is run, what is there is counted and shown."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from currgym.documents import write_whole
from currgym.runs.config import RunConfig
from currgym.statistics import Plan
from currgym.studies.arms import Arm
from currgym.studies.cells import Cell, cells_of
from currgym.studies.engines import Engine, Event, Job, make_engine
from currgym.studies.freezing import frozen_hash
from currgym.studies.spec import Panel, StudySpec
from currgym.studies.store import Store, StoredRun, read_results
from currgym.teaching import teachers

__all__ = ["Study", "StudyProgress"]

FORMAT = 1
ASK_AGAIN = 5.0


@dataclass
class StudyProgress:
    """Where a study stands.

    Attributes:
        runs: Key -> what is known of the run.
        cells: The study's cells, in order.
    """

    runs: dict[str, StoredRun]
    cells: Sequence[Cell]

    def count(self, state: str) -> int:
        """Return how many runs are in this state."""
        return sum(run.state == state for run in self.runs.values())

    @property
    def done(self) -> float:
        """Share of all steps taken."""
        total = sum(cell.config.steps for cell in self.cells)
        return sum(self.steps(cell) for cell in self.cells) / total

    def steps(self, cell: Cell) -> int:
        """Return the steps taken in a cell, at most its budget."""
        run = self.runs[cell.key]
        return cell.config.steps if run.state == "done" else min(run.steps, cell.config.steps)


class Study:
    """A study and its store.

    Args:
        spec: What it is.
        strict: Versions of other packages are part of a cell's address.

    >>> from currgym.studies import Arm, Study
    >>> from currgym.runs import RunConfig
    >>> base = RunConfig("toy/cube", "random", "cube", steps=500)
    >>> study = Study.of("my-study", base, [Arm("random", "random")], seeds=[0, 1])
    >>> len(study.cells)
    2
    """

    def __init__(self, spec: StudySpec, strict: bool = False) -> None:
        self.spec = spec
        self.strict = strict
        self.store = Store(spec.store)
        self.cells = cells_of(spec, strict)
        self._by_key = {cell.key: cell for cell in self.cells}

    @classmethod
    def of(
        cls,
        folder: str | Path,
        base: RunConfig,
        arms: Sequence[Arm],
        seeds: Sequence[int],
        plan: Plan | None = None,
        reference: bool = False,
    ) -> Study:
        """Return the study of one environment and student in a folder of its own."""
        folder = Path(folder)
        base.load_modules()
        return cls(
            StudySpec(
                folder.name, [Panel.of(base)], list(arms), list(seeds), plan, folder,
                folder / "study.toml", reference,
            )
        )  # fmt: skip

    @classmethod
    def open(
        cls, path: str | Path, strict: bool = False, trust: bool | Collection[str] = False
    ) -> Study:
        """Open a study file, or the folder of a comparison.

        Args:
            path: The file, or the folder.
            strict: As for the class.
            trust: Allow importing the modules that it names: all, or these.

        Raises:
            ValueError: If it is not one, or needs ``trust``.
        """
        return cls(StudySpec.read(path, trust), strict)

    @property
    def folder(self) -> Path:
        """Of the store."""
        return self.store.folder

    def create(self) -> None:
        """Write the study file into a folder of its own.

        One that is there already may gain arms and seeds.

        Raises:
            FileExistsError: If the folder holds another study, or anything else.
        """
        path = self.spec.path
        assert path is not None
        if path.exists():
            own = [name for panel in self.spec.panels for name in panel.base.foreign]
            if self.spec.extends(StudySpec.read(path, own)):
                self.spec.write()
            else:
                raise FileExistsError(
                    f"{path.parent} holds another study: choose another --out, or change its "
                    f"{path.name} and go on with 'currgym study run {path}'. (Arms and seeds may "
                    "be added; nothing else may change.)"
                )
            return
        if path.parent.exists() and any(path.parent.iterdir()):
            raise FileExistsError(f"{path.parent} is not empty: choose another --out")
        self.spec.write()

    # Running -------------------------------------------------------------------------------------

    def run(
        self,
        jobs: int | None = None,
        progress: Callable[[StudyProgress], None] = lambda p: None,
        engine: str | Engine = "pool",
        address: str | None = None,
    ) -> list[str]:
        """Do what is missing; return what failed, a line each.

        Args:
            jobs: Runs at once; None for as many as the cores have room for.
            progress: Called about once a second.
            engine: A name, or an engine.
            address: Of a Ray cluster, for the engine ``"ray"``.

        Raises:
            KeyboardInterrupt: After Ctrl-C, once every running run has written its checkpoint.
        """
        self.store.add(self.cells)
        self.describe()
        threads = max(panel.base.threads for panel in self.spec.panels)
        worker = make_engine(engine, jobs, threads, address) if isinstance(engine, str) else engine
        teller = _Teller(self, progress)
        try:
            while todo := self._missing():
                teller.busy = 0
                worker.run(self._jobs(todo), teller)
                if teller.busy:  # another study is at them
                    time.sleep(ASK_AGAIN)
        finally:
            if isinstance(engine, str):
                worker.close()
            teller.flush()
            self.describe()
        return teller.failed()

    def _missing(self) -> list[Cell]:
        """Return what can be begun now and has neither ended nor failed in this call."""
        runs = self.store.runs(self._by_key)
        found = []
        for cell in self.cells:
            if runs[cell.key].state == "done" or cell.key in self._given_up:
                continue
            if cell.key in self._shipped:
                continue
            if cell.source is not None and runs[cell.source].state != "done":
                continue
            if (runs[cell.key].folder / "summary.json").exists():  # killed before it was noted
                self.store.finish(cell.key)
                continue
            found.append(cell)
        return found

    _given_up: frozenset[str] = frozenset()

    def _jobs(self, cells: Sequence[Cell]) -> list[Job]:
        runs = self.store.runs(self._by_key)
        jobs = []
        for cell in cells:
            config = cell.config
            if cell.source is not None:
                log = runs[cell.source].folder / "episodes.csv"
                config = replace(
                    config, teacher_parameters={**config.teacher_parameters, "log": str(log)}
                )
            jobs.append(
                Job(cell.key, config, runs[cell.key].folder, _files_read(config), cell.code)
            )
        return jobs

    @functools.cached_property
    def _shipped(self) -> dict[str, StoredRun]:
        """Reference results that stand in for runs of this study, by key."""
        if not self.spec.reference:
            return {}
        from currgym.studies.reference import shipped_runs

        replayed = {cell.source for cell in self.cells}
        return shipped_runs(
            [cell for cell in self.cells if cell.key not in replayed], self.folder / "reference"
        )

    def results(self) -> dict[str, StoredRun]:
        """Return where every run stands, by key; reference results where there is no own run."""
        self.store.add(self.cells)
        runs = self.store.runs(self._by_key)
        for key, run in self._shipped.items():
            if runs[key].state != "done":
                runs[key] = run
        return runs

    def curves(self) -> dict[str, list[tuple[int, float, float]]]:
        """Return each finished run's evaluations: key -> [(step, share solved, mean return)]."""
        found = self.store.curves(self._by_key)
        for key, run in self._shipped.items():
            if not found[key]:
                _, curve = read_results(run.folder)
                found[key] = [(step, solved, mean) for step, _, solved, mean in curve]
        return found

    def status(self) -> StudyProgress:
        """Return where every run stands."""
        return StudyProgress(self.results(), self.cells)

    # What the report reads -----------------------------------------------------------------------

    def describe(self) -> None:
        """Write ``study.json``, from which pages are made: one for each panel."""
        for panel in self.spec.panels:
            path = self.page_folder(panel) / "study.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            document = self.to_json(panel)
            if path.exists():  # what others have added stays: films, a second study beside it
                try:
                    there = json.loads(path.read_text(encoding="utf-8"))
                    document = {**there, **document}
                except (ValueError, TypeError):
                    pass
            write_whole(path, json.dumps(document, indent=1))

    def page_folder(self, panel: Panel) -> Path:
        """Return the folder of a panel's page: the store itself where there is but one."""
        return self.folder if len(self.spec.panels) == 1 else self.folder / "panels" / panel.label

    def to_json(self, panel: Panel) -> dict[str, Any]:
        """Return the form of ``study.json``."""
        up = "" if len(self.spec.panels) == 1 else "../../"
        runs = self.results()
        places: dict[str, list[str]] = {arm.label: [] for arm in self.spec.arms}
        for cell in self.cells:
            if cell.panel == panel.label:
                place = runs[cell.key].folder.relative_to(self.folder)
                places[cell.arm].append(up + place.as_posix())
        return {
            "format": FORMAT,
            "name": self.spec.name,
            "panel": panel.label,
            "kind": panel.base.kind,
            "env": panel.base.env,
            "student": panel.base.student,
            "steps": panel.base.steps,
            "seeds": self.spec.seeds,
            "baseline": self.spec.baseline,
            "plan": self._plan_json(),
            "arms": [
                {
                    "label": arm.label,
                    "teacher": arm.teacher,
                    "preset": arm.preset,
                    "parameters": arm.parameters,
                    "of": arm.of,
                    "privileges": arm.privileges,
                    "reference": arm.reference,
                }
                for arm in self.spec.arms
            ],
            "runs": places,
            "shipped": {
                cell.arm: origin
                for cell in self.cells
                if cell.panel == panel.label and (origin := runs[cell.key].origin) is not None
            },
            "base": asdict(panel.base),
        }

    def _plan_json(self) -> dict[str, Any] | None:
        plan = self.spec.plan
        if plan is None:
            return None
        return {**plan.to_json(), "frozen": frozen_hash(self.spec)}


def _files_read(config: RunConfig) -> tuple[Path, ...]:
    """Return the files that a run's teacher reads."""
    named = (config.teacher_parameters.get(name) for name in teachers[config.teacher].files)
    return tuple(Path(value) for value in named if isinstance(value, str) and Path(value).is_file())


class _Teller:
    """Takes an engine's events into the store, and shows where the study stands."""

    def __init__(self, study: Study, progress: Callable[[StudyProgress], None]) -> None:
        self.study, self.progress = study, progress
        self.busy = 0
        self.errors: dict[str, str] = {}
        self._points: dict[str, tuple[int, float | None]] = {}
        self._due = 0.0

    def __call__(self, event: Event) -> None:
        store = self.study.store
        if event.kind == "begun":
            store.begin(event.key)
        elif event.kind == "progress":
            self._points[event.key] = (event.steps, event.solved)
        elif event.kind == "done":
            self._points.pop(event.key, None)
            try:
                store.finish(event.key)
            except ValueError as error:
                self._give_up(event.key, str(error))
        elif event.kind == "failed":
            self._give_up(event.key, event.error or "failed")
        elif event.kind == "busy":
            self.busy += 1  # its state is the other study's to tell
        elif event.kind == "interrupted":
            store.rest(event.key)
        if time.monotonic() > self._due:
            self.flush()

    def _give_up(self, key: str, error: str) -> None:
        self.study.store.fail(key, error)
        self.errors[key] = error
        self.study._given_up |= {key}

    def flush(self) -> None:
        """Write what has gathered, and show it."""
        begun = time.monotonic()
        self.study.store.progress(self._points)
        self._points.clear()
        self.progress(self.study.status())
        # A look at thousands of rows takes its time: a twentieth of all at most.
        self._due = time.monotonic() + max(1.0, 19 * (time.monotonic() - begun))

    def failed(self) -> list[str]:
        """Return a line for each arm and error, with the seeds, and for those that replay it."""
        seeds: dict[tuple[str, str, str], list[int]] = {}
        for cell in self.study.cells:
            error = self.errors.get(cell.key)
            if error is None and cell.source in self.errors:
                error = "the run whose log it replays has failed"
            if error is not None:
                seeds.setdefault((cell.arm, cell.panel, error), []).append(cell.seed)
        return [
            f"{arm}, {panel}, seed{'s' if len(those) > 1 else ''} "
            f"{', '.join(map(str, those[:8]))}{', ...' if len(those) > 8 else ''}: {error}"
            for (arm, panel, error), those in seeds.items()
        ]
