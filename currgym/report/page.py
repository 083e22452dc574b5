"""The report: one self-contained HTML page of a comparison or a run."""

from __future__ import annotations

import json
from pathlib import Path

from currgym.report.assets import STYLE
from currgym.report.data import Study, load
from currgym.report.elements import escape
from currgym.report.inside import inside_section
from currgym.report.leading import frontier_section, gain_section, signal_section
from currgym.report.script import SCRIPT
from currgym.report.sections import (
    configuration_section,
    curves_section,
    drill_section,
    films_section,
    ledger_section,
    mastered_section,
    optimizer_section,
    repeat_section,
    results_section,
)  # fmt: skip
from currgym.report.sheet import Sheet
from currgym.report.text import plain_env
from currgym.report.words import about, many_teachers, notices

__all__ = ["render", "write_page"]

SECTIONS = (
    gain_section, frontier_section, inside_section, signal_section, curves_section,
    results_section, mastered_section, drill_section, optimizer_section,
)  # fmt: skip
"""What is shown of a study, in order."""
BESIDE = (
    gain_section, results_section, curves_section, frontier_section, inside_section,
    optimizer_section,
)  # fmt: skip
"""What is shown of a second study beside it."""
CLOSING = (films_section, ledger_section, configuration_section, repeat_section)


def write_page(study: Study | str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a comparison or run; return the file.

    Args:
        study: What was loaded, or the folder where the runs are.
        out: The file to write; None writes ``report.html`` into the folder.

    Raises:
        ValueError: If the folder is neither a comparison nor a run, or is damaged.
    """
    study = study if isinstance(study, Study) else load(study)
    path = Path(out) if out is not None else study.folder / "report.html"
    page = render(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def render(study: Study) -> str:
    """Return the whole page."""
    from plotly.offline import get_plotlyjs

    sheet = Sheet(study)
    title = title_of(study)
    parts = [_header(study, title), "<main>"]
    parts += [make(sheet, study) for make in SECTIONS]
    second = study.supervised
    if second is not None:
        parts.append(_beside(second))
        parts += [make(sheet, second) for make in BESIDE]
    parts += [make(sheet, study) for make in CLOSING]
    parts += ["</main>", _footer(study)]
    body = "\n".join(part for part in parts if part)
    # "<" cannot end the script element in this form, whatever a label says.
    data = json.dumps(sheet.charts, separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        "<noscript><p>The charts need JavaScript; <code>currgym figure</code> draws still ones."
        "</p></noscript>\n"
        f'<script type="application/json" id="charts">{data}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def title_of(study: Study) -> str:
    """Return the page's title."""
    if study.single:
        return f"{study.arms[0].label} on {plain_env(study.env)}, seed {study.seeds[0]}"
    return f"{many_teachers(study)} on {plain_env(study.env)}"


def _header(study: Study, title: str) -> str:
    parts = [
        '<header>\n<p class="kicker">currgym report</p>', f"<h1>{escape(title)}</h1>",
        f"<p>{about(study)}</p>", *notices(study), "</header>",
    ]  # fmt: skip
    return "\n".join(parts)


def _beside(second: Study) -> str:
    return (
        '<section id="supervised"><p class="kicker">beside it, a supervised student</p>'
        f"<h2>{escape(title_of(second))}</h2>"
        f"<p>{about(second)}</p>{''.join(notices(second))}</section>"
    )


def _footer(study: Study) -> str:
    version = (study.example.config.get("versions") or {}).get("currgym")
    made = f"Made by currgym{' ' + escape(str(version)) if version else ''}."
    return f"<footer>{made} Everything is in this file; it loads nothing.</footer>"
