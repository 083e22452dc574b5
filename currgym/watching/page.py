"""A local page that shows a run or study in progress: 127.0.0.1 only, nothing written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from currgym.runs.live import duration
from currgym.watching.data import Point, RunView, StudyView, Watcher
from currgym.watching.drawing import on_grid

__all__ = ["fragment", "serve", "server"]

HOST = "127.0.0.1"
SHELL = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>currgym watch</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 60rem;
  padding: 0 1rem; color: #1a1a1a; background: #fff }}
h1 {{ font-size: 1.3rem }} table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd }}
svg {{ width: 100%; max-width: 34rem; height: auto }} progress {{ width: 100% }}
#stale {{ color: #a40000 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #eee; background: #161616 }} }}
</style></head><body><p id="stale" role="status"></p><main>{now}</main><script>
async function again() {{
  try {{
    const answer = await fetch("/now", {{cache: "no-store"}});
    if (!answer.ok) throw new Error(answer.status);
    document.querySelector("main").innerHTML = await answer.text();
    document.getElementById("stale").textContent = "";
  }} catch {{
    document.getElementById("stale").textContent =
      "currgym watch has ended: this is the last it saw.";
  }}
  setTimeout(again, {milliseconds});
}}
setTimeout(again, {milliseconds});
</script></body></html>"""
BLUE = "#0072b2"


def server(watcher: Watcher, port: int, every: float) -> ThreadingHTTPServer:
    """Return a server of the page, bound to 127.0.0.1.

    Args:
        watcher: What looks.
        port: 0 takes a free one.
        every: Seconds between looks.
    """
    lock = threading.Lock()

    def now() -> str:
        with lock:  # a watcher reads on from where it was
            return fragment(watcher.look())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Another site may point a name of its own at 127.0.0.1: it gets nothing.
            name = self.headers.get("Host", "").rpartition(":")[0]
            if name not in (HOST, "localhost"):
                self.send_error(403)
            elif self.path == "/now":
                self._send(now())
            elif self.path == "/":
                self._send(SHELL.format(now=now(), milliseconds=round(1000 * every)))
            else:
                self.send_error(404)

        def _send(self, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    made = ThreadingHTTPServer((HOST, port), Handler)
    made.daemon_threads = True
    return made


def serve(watcher: Watcher, port: int, every: float, tell: Any) -> None:
    """Serve the page until Ctrl-C.

    Args:
        watcher: What looks.
        port: 0 takes a free one.
        every: Seconds between looks.
        tell: Called with the address.

    Raises:
        OSError: If the port is taken.
    """
    made = server(watcher, port, every)
    tell(f"http://{HOST}:{made.server_address[1]}/")
    try:
        made.serve_forever()
    finally:
        made.server_close()


def fragment(view: RunView | StudyView) -> str:
    """Return a view as HTML."""
    return _run(view) if isinstance(view, RunView) else _study(view)


def _run(view: RunView) -> str:
    head = f"<h1>{escape(view.title)}</h1><p>{view.state}"
    if not view.budget:
        return head + ": waiting for its first files</p>"
    facts = [f"{view.steps:,} of {view.budget:,} steps", duration(view.seconds)]
    if view.pace is not None:
        facts.append(f"{view.pace:,.0f} steps/s")
    if view.left is not None:
        facts.append(f"{duration(view.left)} left")
    spent = ", ".join(f"{n:,} {escape(k.replace('_', ' '))}" for k, n in view.spent.items() if n)
    parts = [
        f"{head}: {', '.join(facts)}</p>",
        f'<progress max="{view.budget}" value="{view.steps}">{view.steps}</progress>',
        f"<p>Spent: {spent}</p>",
    ]
    if view.curve:
        last = view.curve[-1]
        parts.append(f"<h2>Solved: {last[1]:.1%}</h2>{_curve(view.curve, view.budget)}")
    counts = on_grid(view, 32, 16)
    if counts:
        where = f"{escape(view.names[0])} to the right"
        if len(counts) > 1:
            where += f", {escape(view.names[1])} upwards"
        parts.append(f"<h2>The latest {len(view.tasks):,} attempts</h2><p>{where}</p>")
        parts.append(_map(counts))
    return "".join(parts)


def _curve(curve: Sequence[Point], end: int) -> str:
    points = " ".join(
        f"{400 * step / max(end, 1):.1f},{100 - 100 * share:.1f}" for step, share, _ in curve
    )
    dots = "".join(
        f'<circle cx="{400 * step / max(end, 1):.1f}" cy="{100 - 100 * share:.1f}" r="2" '
        f'fill="{BLUE}"><title>step {step:,}: {share:.1%}</title></circle>'
        for step, share, _ in curve
    )
    return (
        '<svg viewBox="-4 -4 408 108" role="img" aria-label="share of the test set solved over '
        'training"><rect width="400" height="100" fill="none" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="{BLUE}" stroke-width="2"/>{dots}</svg>'
    )


def _map(counts: Sequence[Sequence[int]]) -> str:
    most = max(max(row) for row in counts) or 1
    cells = "".join(
        f'<rect x="{10 * x}" y="{10 * y}" width="10" height="10" fill="{BLUE}" '
        f'fill-opacity="{count / most:.2f}"/>'
        for y, row in enumerate(counts)
        for x, count in enumerate(row)
        if count
    )
    width, height = 10 * len(counts[0]), 10 * len(counts)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="where the latest attempts '
        f'fell"><rect width="{width}" height="{height}" fill="none" stroke="#888"/>{cells}</svg>'
    )


def _study(view: StudyView) -> str:
    states = ", ".join(f"{view.count(s)} {s}" for s in ("done", "running", "failed", "waiting"))
    left = "" if view.left is None else f", {duration(view.left)} left"
    rows = "".join(
        f"<tr><td>{escape(arm.label)}</td>"
        f"<td>{arm.counts['done']} of {sum(arm.counts.values())}</td>"
        f"<td>{arm.steps / max(arm.budget, 1):.0%}</td>"
        f"<td>{'-' if arm.solved is None else f'{arm.solved:.1%}'}</td>"
        f"<td>{_curve(arm.curve, arm.curve[-1][0]) if arm.curve else ''}</td></tr>"
        for arm in view.arms
    )
    running = "".join(
        f"<li>{escape(what)}: {steps:,} of {budget:,}</li>"
        for what, steps, budget, _ in view.running
    )
    failed = "".join(f"<li>failed: {escape(text)}</li>" for text in view.failed)
    return (
        f"<h1>{escape(view.title)}</h1><p>{view.state}: {states}{left}</p>"
        f'<progress max="1" value="{view.done:.4f}">{view.done:.0%}</progress>'
        "<table><tr><th>arm</th><th>runs</th><th>steps</th><th>solved</th>"
        f"<th>over training</th></tr>{rows}</table><ul>{running}{failed}</ul>"
    )
