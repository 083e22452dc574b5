"""Run and comparison folders made up of nothing, in the format that runs write."""

import base64
import csv
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace

PLANE = BoxTasks(
    [0, 0], [3, 6], names=["stump_height", "obstacle_spacing"], difficulty="stump_height"
)
LINE = BoxTasks([0.1], [10.0], names=["mass"], kinds=["log"], difficulty="mass")
MANY = BoxTasks(
    [0, 0, 0],
    [1, 4, 2],
    names=["gap", "rooms", "colour"],
    kinds=["real", "integer", ("red", "green", "blue")],
    difficulty={"gap": 1.0, "rooms": 0.1},
)
EXAMPLES = DiscreteTasks(50, difficulty=np.linspace(0.0, 1.0, 50))

EPISODE_COLUMNS = (
    "episode", "id", "env", "step", "seed", "return", "length", "success", "terminated",
    "truncated",
)  # fmt: skip
EVALUATION_COLUMNS = ("step", "test_set", "task_index", "seed", "return", "length", "success")
LEDGER = {
    "attempts": 0, "steps": 0, "probes": 0, "probe_steps": 0, "cancelled": 2,
    "cancelled_steps": 31, "evaluations": 0, "evaluation_steps": 0, "updates": 120,
    "scoring_passes": 0, "teacher_trainings": 0,
}  # fmt: skip


def make_run(
    folder: Path,
    space: TaskSpace = PLANE,
    *,
    teacher: str = "random",
    label: str | None = None,
    seed: int = 0,
    steps: int = 6_000,
    skill: float = 0.6,
    finished: bool = True,
    snapshots: bool = True,
    kind: str = "rl",
    evaluations: int = 6,
    privileges: tuple[str, ...] = (),
    test_points: int = 4,
    sharp: float = 0.0,
    episode_length: int = 60,
    env: str = "currgym/StumpTracks-v0",
    tell_success: bool = True,
    mastery: float | None = 200.0,
    task_space: dict[str, Any] | None = None,
) -> Path:
    """Write one run folder; ``skill`` is the share mastered at its end, about."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, len(teacher)])
    if isinstance(space, DiscreteTasks):
        test = np.arange(24)[:, None]
    elif isinstance(space, BoxTasks):
        test = np.atleast_2d(space.grid(test_points))
    else:
        test = space.sample(24, rng)
    test_seeds = rng.integers(1000, size=(len(test), 3))
    config = {
        "format": 1,
        "kind": kind,
        "label": label or teacher,
        "env": {"id": env, "kwargs": {}},
        "teacher": {
            "name": teacher, "preset": None, "parameters": {}, "privileges": list(privileges),
        },
        "student": {"name": "ppo", "parameters": {"n_steps": 512}},
        "steps": steps,
        "seed": seed,
        "num_envs": 8,
        "evaluate_every": steps // evaluations,
        "test_set": {"name": "grid", "tasks": test.tolist(), "seeds": test_seeds.tolist()},
        "task_space": task_space or space.config(),
        "return_range": [-150, 350],
        "mastery": mastery,
        "versions": {"python": "3.11.7", "currgym": "0.1.0", "numpy": "2.4.6"},
        "threads": 1,
        "cpu": "Some CPU, 2 logical",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    end = steps if finished else steps // 2

    with (folder / "episodes.csv").open("w", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        names = [f"task.{name}" for name in space.names]
        write.writerow([*EPISODE_COLUMNS, *names])
        step, episode = 0, 0
        while True:
            progress = step / steps
            if isinstance(space, DiscreteTasks):
                length, task = 1, [int(rng.integers(space.n))]
            elif not isinstance(space, BoxTasks):
                length, task = episode_length, space.sample(1, rng)[0].tolist()
            else:
                unit = rng.random(space.unit_dim)
                if sharp:
                    centre = 0.15 + 0.6 * progress
                    unit = np.clip(rng.normal(centre, sharp, space.unit_dim), 0, 1)
                task = space.from_unit(unit[None])[0].tolist()
                length = int(episode_length * (1.6 - unit[0]))
            step, episode = step + length, episode + 1
            if step > end:
                break
            row = [episode - 1, episode - 1, episode % 8, step, int(rng.integers(2**31))]
            write.writerow([*row, repr(float(rng.normal())), length, "", True, False, *task])

    spent = 0
    with (folder / "evaluations.csv").open("w", newline="") as file:
        write = csv.writer(file, lineterminator="\n")
        write.writerow(EVALUATION_COLUMNS)
        for at in np.linspace(0, steps, evaluations + 1).astype(int).tolist():
            if at > end:
                break
            able = skill * (at / steps) ** 0.7 + rng.normal(0, 0.02)
            for index, task in enumerate(test):
                if not isinstance(space, BoxTasks):
                    hard = index / len(test)
                else:
                    hard = float(space.to_unit(task).mean())
                for test_seed in test_seeds[index].tolist():
                    chance = 1 / (1 + np.exp(-(able * 1.3 - hard) * 12))
                    success = rng.random() < chance
                    told = float(success) if tell_success else ""
                    result = 250.0 if success else -20.0
                    write.writerow([at, "grid", index, test_seed, result, 70, told])
                    spent += 70

    with (folder / "timing.csv").open("w") as file:
        file.write(f"step,seconds\n0,0.1\n{end},{end / 900!r}\n")
    if snapshots and not isinstance(space, DiscreteTasks):
        with (folder / "snapshots.jsonl").open("w") as file:
            for i in range(5):
                mean = np.full((2, space.unit_dim + 1), 0.2 + 0.15 * i)
                mean[1, : space.unit_dim] = 0.7
                mean[:, -1] = [0.4, 0.2]
                covariance = np.tile(np.eye(space.unit_dim + 1) * 0.008, (2, 1, 1))
                covariance[:, 0, -2] = covariance[:, -2, 0] = 0.003
                preview = space.from_unit(rng.random((24, space.unit_dim)))
                values = {"means": mean.tolist(), "covariances": covariance.tolist(), "fits": i}
                row_ = {
                    "step": i * steps // 5, "episode": i * 20,
                    "snapshot": values if teacher == "alp-gmm" else {}, "preview": preview.tolist(),
                }  # fmt: skip
                file.write(json.dumps(row_) + "\n")
    if finished:
        ledger = {
            **LEDGER, "attempts": episode, "steps": steps,
            "probes": 40 if teacher == "alp-gmm" else 0,
            "probe_steps": 2_400 if teacher == "alp-gmm" else 0,
            "evaluations": len(test) * 3 * (evaluations + 1), "evaluation_steps": spent,
        }  # fmt: skip
        summary = {"finished": True, "ledger": ledger, "seconds": steps / 900, "fps": 900.0}
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


ARMS: dict[str, dict[str, Any]] = {
    "random": {"skill": 0.45},
    "uniform-steps": {"skill": 0.5, "reference": True},
    "alp-gmm": {"skill": 0.75, "sharp": 0.12},
    "window": {"skill": 0.65, "sharp": 0.05, "privileges": ("difficulty",)},
    "yoked-alp-gmm": {"skill": 0.65, "teacher": "yoked", "of": "alp-gmm", "reference": True},
    "yoked-shuffled-alp-gmm": {
        "skill": 0.55, "teacher": "yoked-shuffled", "of": "alp-gmm", "reference": True,
    },
}  # fmt: skip


def make_study(
    folder: Path,
    space: TaskSpace = PLANE,
    *,
    seeds: int = 3,
    arms: tuple[str, ...] = ("random", "alp-gmm", "window"),
    supervised: str | None = None,
    film: bool = False,
    **settings: Any,
) -> Path:
    """Write a comparison folder with its runs."""
    folder.mkdir(parents=True)
    told, runs = [], {}
    for label in arms:
        own = {**ARMS[label]}
        reference = own.pop("reference", False)
        teacher, of = own.pop("teacher", label), own.pop("of", None)
        told.append(
            {
                "label": label, "teacher": teacher, "parameters": {}, "reference": reference,
                "of": of, "privileges": list(own.get("privileges", ())),
            }
        )  # fmt: skip
        runs[label] = [f"runs/{label}/seed-{seed}" for seed in range(seeds)]
        for seed, place in enumerate(runs[label]):
            make_run(folder / place, space, teacher=teacher, seed=seed, **{**own, **settings})
    plan: dict[str, Any] = {
        "format": 1,
        "env": settings.get("env", "currgym/StumpTracks-v0"),
        "student": "ppo",
        "steps": settings.get("steps", 6_000),
        "seeds": list(range(seeds)),
        "arms": told,
        "baseline": "random",
        "runs": runs,
    }
    if supervised:
        plan["supervised"] = supervised
    if film:
        (folder / "film").mkdir()
        frames = [Image.new("RGB", (64, 32), (40 * i, 90, 120)) for i in range(4)]
        frames[0].save(folder / "film/hard.gif", save_all=True, append_images=frames[1:])
        plan["film"] = [{"title": "alp-gmm's student on a hard task", "gif": "film/hard.gif"}]
    (folder / "study.json").write_text(json.dumps(plan))
    return folder


@pytest.fixture(scope="session")
def run_folder() -> Callable[..., Path]:
    return make_run


@pytest.fixture(scope="session")
def study_folder() -> Callable[..., Path]:
    return make_study


@pytest.fixture
def spaces() -> dict[str, TaskSpace]:
    return {"plane": PLANE, "line": LINE, "many": MANY, "examples": EXAMPLES}


# Chromium takes commands on descriptor 3 and answers on 4.
CONNECT = """
import os, sys
ends = [os.dup(int(end)) for end in sys.argv[1:3]]
ends = [os.dup(end) if end in (3, 4) else end for end in ends]
for number, end in zip((3, 4), ends):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """Headless Chromium, driven over a pipe in its DevTools protocol; loads files only."""

    def __init__(self, program: str, folder: Path) -> None:
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        self._process = subprocess.Popen(
            [
                sys.executable, "-c", CONNECT, str(commands), str(answers), program, "--headless",
                "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--remote-debugging-pipe",
                f"--user-data-dir={folder}", "about:blank",
            ],
            pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self._count, self._rest, self._session, self._page = 0, b"", "", ""
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result; events met on the way are kept."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], 60.0)
            piece = os.read(self._in, 1 << 20) if ready else b""
            if not piece:
                raise RuntimeError("the browser does not answer")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def open(self, path: Path, width: int = 1280, height: int = 900, mobile: bool = False) -> None:
        """Show a file at a window size and wait until its script has run."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=mobile,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self._page = path.resolve().as_uri()
        self.call("Page.navigate", url=self._page)
        for _ in range(400):
            if self.run("document.readyState == 'complete' && !!document.querySelector('main')"):
                frame = "requestAnimationFrame"
                # Two frames later everything has been laid out and painted.
                self.run(f"new Promise(r => {frame}(() => {frame}(() => r(1))))")
                return
            time.sleep(0.05)
        raise RuntimeError("the page did not load")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """Return a PNG of the whole page."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        answer = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        )  # fmt: skip
        return base64.b64decode(answer["data"])

    def troubles(self) -> list[str]:
        """Return console errors and uncaught exceptions since the page was opened."""
        self.run("1")  # collects what is under way
        found = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            elif event.get("method") == "Runtime.consoleAPICalled":
                if parameters["type"] in ("error", "warning", "assert"):
                    found.append(json.dumps(parameters["args"]))
            elif event.get("method") == "Log.entryAdded":
                found.append(json.dumps(parameters["entry"]))
        return found

    def loads(self) -> list[str]:
        """Return what the page asked for over the network or the disk, itself left out."""
        asked = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in asked if url != self._page and not url.startswith("data:")]

    def close(self) -> None:
        """End the browser."""
        try:
            self._session = ""
            self.call("Browser.close")
        except (OSError, RuntimeError):
            self._process.kill()
        self._process.wait(timeout=30)
        os.close(self._out)
        os.close(self._in)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()
