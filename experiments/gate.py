"""Curricula towards two narrow gates: does it help to know the target, and who gets there?

PPO on ``PointMassGate-v0``, tested on two narrow gates at either side of the wall. Two information
classes, each with its own baseline; a comparison across them is one of information and not of
skill. *Target known*: ``straight-line`` (the baseline: what is gained over a fixed anneal from the
start to the target?), CURROT, GRADIENT, SPDL (``self-paced``), ``target`` itself, and ALP-GMM with
a fifth of target tasks. *Target unknown*: ``random`` (the baseline), ALP-GMM, GoalGAN, and the
three with the uniform distribution as their target.

*Hypothesis* (the published ordering, Klink et al. 2022, https://arxiv.org/abs/2309.14091; read in
the authors' repository in words only, so no figure is quoted): with the target known CURROT and
GRADIENT reach both gates, SPDL's one Gaussian at most one of them, and training on the target alone
or without knowing it does not get there. It is a hypothesis here and no bar.

*Plan, before the runs* (``experiments/gate/*.toml``, frozen beside them): mean return at the end of
the budget, probes included, over 20 episodes on the two gates (of 100; above 50 is through the gate
in time); 20 seeds; Welch, Holm over the five contrasts of a class; smallest effect of interest 10,
also the margin of equivalence. Share solved stands beside it. *Conceptual*: a quarter of the
original's 819,200 steps, PPO of another version and other settings, exact gates in the place of
narrow Gaussians, no exploration noise in the test.

*Settings*: presets of the papers' point mass, uniform start where one is needed; PPO's are those of
``experiments/six.py``, chosen there for ``random`` on seed 1000.

    nice -n 5 python experiments/gate.py            # about 2 hours on two cores; goes on if begun
    python experiments/gate.py --table              # only sums up what is there
    python experiments/gate.py --short --out DIR    # half a minute: illustration, no verdict
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studied import RESULTS, Short, parser_of, run

SHORT = Short(
    arms=("straight-line", "random", "currot"),
    steps=512,  # an episode or two in each of 4 environments
    student={"n_steps": 32, "n_epochs": 1},
    seeds=1,
)
CLASSES = {"target_known": "target known", "target_unknown": "target unknown"}


def readme_rows(panels: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Return the README's rows, one a class; none before all planned runs are there."""
    found = []
    for name, says in CLASSES.items():
        panel = panels.get(name)
        if panel is None or not panel["complete"]:
            continue
        figures = [
            f"`{label}` {arm['mean']:.0f}"
            + ("" if label == panel["baseline"] else f" ({arm['verdict']})")
            for label, arm in panel["arms"].items()
        ]
        what = (
            f"PointMassGate, {says}: mean return on the two narrow gates, against "
            f"`{panel['baseline']}` ({panel['seeds_wanted']} seeds, a conceptual replication)"
        )
        found.append({"what": what, "figure": ", ".join(figures)})
    return found


def main() -> None:
    """Run what is missing, and sum up."""
    parser = parser_of(__doc__)
    parser.add_argument("--short", action="store_true", help="few steps, 1 seed: no verdict")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    run("gate", parser, SHORT, readme_rows)


if __name__ == "__main__":
    main()
