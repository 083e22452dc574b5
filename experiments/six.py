"""Six families of teachers on the same two environments: who is better than uniform, and why?

ALP-GMM, ADR, CURROT, PLR, ACCEL and SFL, and a portfolio of teachers, beside uniform over episodes
(``random``) and over steps; one student (PPO), one ledger. Each gain is split by replays of a
teacher's tasks to another seed's student: better *marginal* (the tasks, shuffled) + their *order* +
*adaptivity* (chosen for this student).

*Plan, before the runs* (``experiments/six/*.toml``, frozen beside them): per cent of a fixed test
set of uniform tasks (50 tasks, 3 episode seeds each, ``uniform-50``) solved when the budget is
used up; baseline ``random``; contrasts are the seven adaptive teachers, Welch, Holm over them;
smallest effect of interest 10 points, also the margin of equivalence. ``PointMassGate-v0``: 20
seeds, replays of every teacher. ``LunarLander-v0``: 8 seeds, replays of ALP-GMM alone, since a run
there costs several times as much. ``uniform-steps`` and replays explain and get no verdict.

*Budget*: environment steps, probes included: what ACCEL and SFL try out without learning, they
train less. A replay makes no probes and trains on all of it, so that in those two the part called
adaptivity holds the price of the probes too; and it gives tasks, whereas PLR and ACCEL repeat the
very episode (task and seed). Gradient updates and seconds stand in the results.

*Settings*: every teacher at its defaults, nobody told more than when an attempt counts as a success
(``success_threshold``, marked); the task is observed. PPO and budgets were chosen once, for
``random`` on seed 1000 and a validation set of other uniform tasks, so that it ends between 20 and
80 % mastered (one run each: 68 % of PointMassGate, 38 % of LunarLander) and all runs fit 4 hours on
two cores. All that was tried is in ``experiments/results/six-pilot.json``. The seeds were given,
not derived from a spread: at a standard deviation of 10 points over seeds, 10 points are found four
times in five by 17 seeds in one contrast alone and by 27 after the correction for seven; an
"inconclusive" says how many would decide.

    nice -n 5 python experiments/six.py            # 3.5 hours on two cores; goes on if begun
    python experiments/six.py --table              # only sums up what is there
    python experiments/six.py --short --out DIR    # half a minute: illustration, no verdict
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from studied import RESULTS, Short, parser_of, run

SHORT = Short(
    arms=("random", "alp-gmm", "yoked-alp-gmm"),
    steps=512,  # an episode or two in each of 4 environments
    student={"n_steps": 32, "n_epochs": 1},
)
ENVIRONMENTS = {"point_mass": "PointMassGate", "lunar_lander": "LunarLander"}


def readme_rows(panels: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Return the README's rows, one a teacher; none before all planned runs are there."""
    if set(panels) != set(ENVIRONMENTS) or not all(p["complete"] for p in panels.values()):
        return []
    first = panels["point_mass"]
    found = []
    for label, arm in first["arms"].items():
        if arm["control"] and label != "uniform-steps":
            continue
        cells = [
            f"{name} {_figure(panels[panel]['arms'][label])}"
            for panel, name in ENVIRONMENTS.items()
        ]
        what = f"`{label}`, PPO, per cent of uniform test tasks mastered"
        found.append({"what": what, "figure": "; ".join(cells)})
    return found


def _figure(arm: dict[str, Any]) -> str:
    """Return the mean, and for teachers the difference from the baseline, its parts, the word."""
    text = f"{100 * arm['mean']:.0f} ({arm['seeds']} seeds)"
    if arm["difference"] is None:
        return text
    ends = f"[{100 * arm['difference.low']:+.0f}, {100 * arm['difference.high']:+.0f}]"
    text += f", {100 * arm['difference']:+.0f} {ends}"
    if arm["control"]:
        return text
    if arm["marginal"] is not None:
        parts = ("marginal", "order", "adaptivity")
        text += f" ({', '.join(f'{part} {100 * arm[part]:+.0f}' for part in parts)})"
    return f"{text}: {arm['verdict']}"


def main() -> None:
    """Run what is missing, and sum up."""
    parser = parser_of(__doc__)
    parser.add_argument("--short", action="store_true", help="few steps, 2 seeds: no verdict")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    run("six", parser, SHORT, readme_rows)


if __name__ == "__main__":
    main()
