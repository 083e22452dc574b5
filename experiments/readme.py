"""Fill the README's tables from the registry and from the committed results.

Run it after adding a teacher or an environment, or after a new run of an experiment:
``python experiments/readme.py`` (``--check`` only tells whether the README is current).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "experiments" / "results"
FIRST = "six"
"""The experiment whose figures open the table."""


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def registry_table(what: str) -> str:
    """Return the table of what is registered."""
    from currgym.runs.describing import listing

    ((_, columns, rows),) = listing(what)
    return table(columns, [(f"`{row[0]}`", *row[1:]) for row in rows])


def results_table() -> str:
    """Return one row for each figure that the experiments left behind, the first of them first."""
    rows: list[tuple[str, ...]] = []
    for path in sorted(RESULTS.glob("*.json"), key=lambda path: (path.stem != FIRST, path.stem)):
        document: Any = json.loads(path.read_text())
        for row in document.get("readme", []) if isinstance(document, dict) else []:
            rows.append((row["what"], row["figure"], f"`python experiments/{path.stem}.py`"))
    return table(("what", "figure", "command"), rows) if rows else ""


def _between(content: str, match: re.Match[str]) -> str:
    return f"{match[1]}{content}\n{match[2]}"


def filled(text: str) -> str:
    """Return the README with its generated parts made anew."""
    parts = {
        "teachers": registry_table("teachers"),
        "environments": registry_table("envs"),
        "results": results_table(),
    }
    for name, content in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = pattern.sub(partial(_between, content), text)
    return text


def main() -> None:
    """Write the README, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if it is out of date")
    arguments = parser.parse_args()
    before = README.read_text(encoding="utf-8")
    after = filled(before)
    if arguments.check:
        sys.exit(0 if before == after else "README.md is out of date: python experiments/readme.py")
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
