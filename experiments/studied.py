"""What the experiments that are studies share: freeze, run what is missing, sum up what is there.

Not an experiment. A study is a TOML file with its plan (``currgym study``); ``experiments/six.py``,
``experiments/gate.py`` and ``experiments/maze.py`` say which files and what is read off them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from rich.console import Console

from currgym.report.data import Arm
from currgym.report.data import Study as Page
from currgym.report.figures import learning_curves
from currgym.report.figures_leading import gain
from currgym.report.page import write_page
from currgym.runs.config import RunConfig, cpu, package_versions
from currgym.studies import Study, StudySpec, freeze, frozen_hash
from currgym.studies.engines import Engine, make_engine
from currgym.studies.export import pages_of
from currgym.studies.live import StudyBar
from currgym.studies.tables import LEGEND, rows, table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Document = dict[str, Any]


@dataclass(frozen=True)
class Short:
    """The numbers of a short form; all else is that of the planned one.

    Attributes:
        arms: Labels of the arms that it has.
        steps: Budget of a run.
        student: Parameters of the student that fit so small a budget.
        seeds: Seeds an arm; two, so that replays have another seed's log.
    """

    arms: Sequence[str]
    steps: int
    student: Mapping[str, Any]
    seeds: int = 2

    def _small(self, base: RunConfig) -> RunConfig:
        student = {**base.student_parameters, **self.student}
        return replace(
            base, steps=self.steps, num_envs=4, student_parameters=student, test_tasks=2,
            test_seeds=1, evaluate_every=self.steps, keep_policies=0,
        )  # fmt: skip

    def of(self, spec: StudySpec, store: Path) -> StudySpec:
        """Return a study in this form, without a plan: nothing is concluded from it."""
        panels = [replace(panel, base=self._small(panel.base)) for panel in spec.panels]
        arms = [arm for arm in spec.arms if arm.label in self.arms]
        return replace(
            spec, panels=panels, arms=arms, seeds=list(range(self.seeds)), plan=None, store=store
        )


@dataclass(frozen=True)
class Panel:
    """What there is of a study of one environment and student.

    Attributes:
        study: With its plan.
        label: Of environment and student.
        page: What its page shows.
    """

    study: Study
    label: str
    page: Page

    @property
    def wanted(self) -> int:
        """Seeds an arm that were planned."""
        plan = self.study.spec.plan
        return len(self.study.spec.seeds) if plan is None else plan.n

    @property
    def seeds(self) -> int:
        """Seeds that are there of every arm: of the planned ones, one after the other."""
        wanted = set(self.study.spec.seeds[: self.wanted])
        return min(len(wanted & {run.seed for run in arm.finished}) for arm in self.page.arms)

    @property
    def complete(self) -> bool:
        """Whether there was a plan, and all that it needs is there."""
        return self.page.frozen and self.seeds == self.wanted

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        if self.complete:
            return f"all {self.wanted} planned seeds are there"
        return f"{self.seeds} of {self.wanted} seeds so far: no verdict"

    def to_json(self) -> Document:
        """Return all that was concluded, measured and spent, arm by arm."""
        concluded = self.page.conclusions()
        arms = {str(row.pop("arm")): row for row in rows(self.label, concluded)}
        for arm in self.page.arms:
            values = concluded[arm.label].values
            arms[arm.label] |= {
                "privileges": list(arm.privileges), "spent": _spent(arm),
                "values": {str(seed): values[seed] for seed in sorted(values)},
            }  # fmt: skip
        plan = self.study.spec.plan
        document: Document = _finite(
            {
                "env": self.page.env, "student": self.page.student, "steps": self.page.steps,
                "plan": None if plan is None else plan.to_json(),
                "frozen": frozen_hash(self.study.spec), "baseline": concluded.baseline,
                "seeds": self.seeds, "seeds_wanted": self.wanted, "complete": self.complete,
                "arms": arms,
            }
        )  # fmt: skip
        return document


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """Return the options that these experiments have in common."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", action="store_true", help="run nothing, sum up what is there")
    parser.add_argument("--jobs", type=int, help="runs at once (one a core)")
    return parser


def run(
    name: str,
    parser: argparse.ArgumentParser,
    short: Short,
    readme_rows: Callable[[dict[str, Document]], list[dict[str, str]]],
    more: Callable[[Sequence[Study], dict[str, Document], Path], Document] = lambda *_: {},
) -> None:
    """Run what is missing of an experiment's studies, and sum up.

    Args:
        name: Of the script, and of the folder with its study files.
        parser: With the options that choose the short form and the folder of the results too.
        short: The short form.
        readme_rows: From the panels by name to the README's rows.
        more: From studies, panels and folder to what else stands in the result; it may draw.
    """
    options = parser.parse_args()
    if options.short and options.out == RESULTS:
        parser.error("the short form is an illustration, and no result to keep: give --out")
    studies = opened(name, short if options.short else None, options.out)
    if not options.table:
        # A few tiny runs are done sooner than processes for them are begun.
        carry_out(studies, make_engine("inline" if options.short else "pool", options.jobs))
    panels = panels_of(studies)
    show(panels)
    options.out.mkdir(parents=True, exist_ok=True)
    documents = {key: panel.to_json() for key, panel in panels.items()}
    document = {
        "short": options.short, "versions": package_versions(), "cpu": cpu(), "panels": documents,
        **more(studies, documents, options.out), "readme": readme_rows(documents),
    }  # fmt: skip
    path = options.out / f"{name}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draw(panels, name, options.out)
    print(f"written: {path}", file=sys.stderr)


def opened(name: str, short: Short | None, out: Path) -> list[Study]:
    """Return an experiment's studies, their plans frozen; in its short form without plans."""
    studies = []
    for path in sorted((HERE / name).glob("*.toml")):
        spec = StudySpec.read(path)
        if short is None:
            freeze(spec)
        else:
            spec = short.of(spec, out / f"{name}-short" / path.stem)
        studies.append(Study(spec))
    return studies


def carry_out(studies: Sequence[Study], engine: Engine) -> None:
    """Run what the stores lack, study by study; what failed is named, and ends the experiment."""
    failed: list[str] = []
    try:
        for study in studies:
            with StudyBar(study) as bar:
                failed += study.run(progress=bar, engine=engine)
    finally:
        engine.close()
    if failed:
        sys.exit("some runs failed:\n  " + "\n  ".join(failed))


def panels_of(studies: Sequence[Study]) -> dict[str, Panel]:
    """Return the panels of which a run has begun, by the study's name (and its own if several)."""
    found = {}
    for study in studies:
        study.status()
        for label, page in pages_of(study).items():
            key = study.spec.name if len(study.spec.panels) == 1 else f"{study.spec.name}-{label}"
            found[key] = Panel(study, label, page)
    return found


def show(panels: Mapping[str, Panel]) -> None:
    """Print a table of each panel, and write its report."""
    console = Console(width=200)
    for key, panel in panels.items():
        console.print(table(f"{key}, {panel.label}", panel.page.conclusions()))
        console.print(f"{panel.progress}; report: {write_page(panel.page)}\n", soft_wrap=True)
    console.print(LEGEND)


def draw(panels: Mapping[str, Panel], name: str, out: Path) -> None:
    """Draw of each panel where the gains come from, and the learning curves."""
    for key, panel in panels.items():
        for what, figure in (("gain", gain(panel.page)), ("curves", learning_curves(panel.page))):
            if figure is not None:
                # No version inside, so that the same runs give the same file.
                path = out / f"{name}-{key}-{what}.png"
                figure.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})


def _spent(arm: Arm) -> dict[str, float]:
    """Return what a run of an arm spends on average, and its seconds."""
    ledger = arm.mean_ledger()
    names = ("attempts", "steps", "probes", "probe_steps", "evaluation_steps", "updates")
    spent = {name: round(ledger[name], 1) for name in names if name in ledger}
    seconds = [run.seconds for run in arm.finished if run.seconds is not None]
    return {**spent, "seconds": round(sum(seconds) / len(seconds), 1)} if seconds else spent


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not known is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, (list, tuple)) else value
