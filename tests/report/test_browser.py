"""The page in a real browser: it draws, it moves, it loads nothing, it complains of nothing."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from currgym import Curriculum, make_teacher, report
from currgym.envs.grid_maze import MazeTasks
from currgym.tasks import BoxTasks, DiscreteTasks, TaskSpace
from currgym.teaching import teachers

Make = Callable[..., Path]
Browser = Any

pytestmark = pytest.mark.slow

CURVE = "document.getElementById('chart-curves')"
SLIDER = "document.querySelector('input[data-group]')"
PERIODS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, study_folder: Make) -> Path:
    place = tmp_path_factory.mktemp("browser")
    study_folder(place / "s", seeds=2, kind="supervised", arms=("random", "window"))
    arms = (
        "random", "uniform-steps", "alp-gmm", "window", "yoked-alp-gmm", "yoked-shuffled-alp-gmm",
    )  # fmt: skip
    made = study_folder(place / "c", arms=arms, supervised="../s", film=True)
    rng = np.random.default_rng(0)
    checkpoints = [
        {"step": step, "seed": 0, "gain": rng.random(4).tolist(), "gain_se": [0.1] * 4,
         "scores": {"alp": rng.random(4).tolist()}, "ceiling": 0.9,
         "transfer": rng.normal(size=(4, 4)).tolist()}
        for step in (0, 3000)
    ]  # fmt: skip
    tasks = [[0, 0], [0, 6], [3, 0], [3, 6]]
    document = {"format": 1, "names": ["a", "b"], "tasks": tasks, "checkpoints": checkpoints}
    (made / "signal.json").write_text(json.dumps(document))
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return report.write(folder)


def charts_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    start = text.index('id="charts">') + len('id="charts">')
    found: dict[str, Any] = json.loads(text[start : text.index("</script>", start)])
    return found


def pixels(png: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def looks(browser: Browser, chart: str) -> str:
    drawn: str = browser.run(f"document.getElementById('{chart}').querySelector('svg').outerHTML")
    return drawn


def move(browser: Browser, place: int) -> None:
    browser.run(f"{SLIDER}.value = {place}; {SLIDER}.dispatchEvent(new Event('input'))")


@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), (375, 800, True)])
def test_everything_is_drawn_and_nothing_complains(
    browser: Browser, page: Path, width: int, height: int, mobile: bool
) -> None:
    browser.open(page, width, height, mobile)
    charts = len(charts_of(page))
    assert browser.run("document.documentElement.dataset.charts") == str(charts)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    browser.run("new Promise(r => setTimeout(r, 300))")
    assert browser.run("document.querySelectorAll('.chart .main-svg').length") >= charts
    assert browser.troubles() == []
    assert browser.loads() == []
    # Nothing sticks out sideways; wide tables scroll inside their own box.
    assert browser.run(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    assert browser.run(
        "[...document.querySelectorAll('.chart')].every(c => c.clientWidth > 120"
        " && c.querySelector('svg').getBoundingClientRect().right <= innerWidth)"
    )


def test_the_screenshot_is_not_blank(browser: Browser, page: Path) -> None:
    browser.open(page)
    image = pixels(browser.picture())
    assert image.shape[0] > 2_000
    assert (image.min(axis=2) < 200).mean() > 0.02
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):
        assert (np.abs(image - colour).sum(axis=2) < 6).sum() > 100


def test_a_measure_can_be_chosen(browser: Browser, page: Path) -> None:
    browser.open(page)
    title = f"{CURVE}.querySelector('.ytitle').textContent"
    assert browser.run(title) == "test tasks mastered (%)"
    button = f"{CURVE}.closest('figure').querySelector('[data-state=\"1\"]')"
    browser.run(f"{button}.click()")
    assert browser.run(title) == "mean test return"
    assert browser.run(f"{button}.getAttribute('aria-pressed')") == "true"


def test_an_arm_can_be_hidden(browser: Browser, page: Path) -> None:
    browser.open(page)
    shown = f"{CURVE}.data.filter(t => t.visible).length"
    before = browser.run(shown)
    entry = f"{CURVE}.closest('figure').querySelector('[data-arm=\"alp-gmm\"]')"
    browser.run(f"{entry}.click()")
    assert browser.run(shown) == before - 3  # band, seeds, mean
    assert browser.run(f"{entry}.getAttribute('aria-pressed')") == "false"
    browser.run(f"{entry}.click()")
    assert browser.run(shown) == before


def spent(folder: Path, arm: str, place: int) -> NDArray[np.float64]:
    """The density over the plane in one period, straight from the episodes."""
    counts = np.zeros((12, 12))
    for path in sorted((folder / "runs" / arm).glob("*/episodes.csv")):
        with path.open() as file:
            for row in csv.DictReader(file):
                # Period k holds the steps in (k/24, (k+1)/24] of the 6,000.
                if 250 * place < int(row["step"]) <= 250 * (place + 1):
                    x = min(int(float(row["task.stump_height"]) / 3 * 12), 11)
                    y = min(int(float(row["task.obstacle_spacing"]) / 6 * 12), 11)
                    counts[x, y] += int(row["length"])
    density: NDArray[np.float64] = counts / counts.sum() * 144
    return density


def test_the_slider_moves_the_picture_and_the_density_is_that_of_the_episodes(
    browser: Browser, page: Path, folder: Path
) -> None:
    browser.open(page)
    arms = ("random", "uniform-steps", "alp-gmm", "window")
    pictures = set()
    for place in (0, 7, 23):
        move(browser, place)
        for number, arm in enumerate(arms):
            box = f"document.getElementById('chart-frontier-plane-{number}')"
            drawn = np.array(browser.run(f"{box}.data[0].z"), float) ** 2
            np.testing.assert_allclose(drawn.T, spent(folder, arm, place), rtol=2e-3, atol=1e-3)
        pictures.add(looks(browser, "chart-frontier-plane-2"))
        low, high = browser.run(
            "(({x0, x1}) => [x0, x1])(document.getElementById('chart-frontier-2').layout.shapes[0])"
        )
        assert (low, high) == (250 * place, 250 * (place + 1))
    assert len(pictures) == 3
    # By keyboard too.
    browser.run(f"{SLIDER}.focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Home", code="Home", windowsVirtualKeyCode=36
        )
    told = f"{SLIDER}.closest('.controls').querySelector('output').textContent"
    assert browser.run(told) == "environment steps 0 to 250"
    assert browser.run(f"{SLIDER}.getAttribute('aria-valuetext')") == "environment steps 0 to 250"
    assert browser.troubles() == []


def test_the_strips_axis_can_be_chosen(browser: Browser, page: Path) -> None:
    browser.open(page)
    move(browser, 3)
    browser.run("document.querySelector('button[data-strips][data-state=\"1\"]').click()")
    box = "document.getElementById('chart-frontier-2')"
    assert browser.run(f"{box}.querySelector('.ytitle').textContent") == "stump height"
    assert browser.run(f"{box}.layout.shapes[0].x0") == 750  # the moment stays marked
    assert browser.troubles() == []


def names_of(browser: Browser, table: str) -> list[str]:
    found: list[str] = browser.run(
        f"[...document.querySelectorAll('{table} tbody tr:not(.group) th')]"
        ".map(h => h.dataset.value || h.textContent)"
    )
    return found


@pytest.mark.parametrize("section", ["gain", "frontier", "results", "ledger"])
def test_tables_sort(browser: Browser, page: Path, section: str) -> None:
    browser.open(page)
    table = f"#{section} table.sortable"
    before = names_of(browser, table)
    button = f"document.querySelector('{table} th button.sort')"
    head = f"{button}.closest('th').getAttribute('aria-sort')"
    browser.run(f"{button}.click()")
    assert names_of(browser, table) == sorted(before)
    assert browser.run(head) == "ascending"
    # By keyboard, the other way round.
    browser.run(f"{button}.focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
            windowsVirtualKeyCode=13,
        )  # fmt: skip
    assert names_of(browser, table) == sorted(before, reverse=True)
    assert browser.run(head) == "descending"
    numbers = f"{table} th button.sort[data-kind=number]"
    browser.run(f"document.querySelector('{numbers}').click()")
    column = browser.run(f"document.querySelector('{numbers}').closest('th').cellIndex")
    values = browser.run(
        f"[...document.querySelectorAll('{table} tbody tr:not(.group)')]"
        f".map(r => parseFloat(r.cells[{column}].dataset.value))"
    )
    assert values == sorted(values, reverse=True)
    assert len(values) == len(before)


def test_one_task_at_a_time(browser: Browser, page: Path, folder: Path) -> None:
    browser.open(page)
    box = "document.getElementById('chart-tasks')"
    pick = "document.querySelector('select[data-drill]')"
    browser.run(f"{pick}.value = 5; {pick}.dispatchEvent(new Event('change'))")
    drawn = browser.run(f"{box}.data.find(t => t.name === 'alp-gmm' && !t.yaxis).y")
    shares = np.zeros((3, 7))
    for seed in range(3):
        with (folder / f"runs/alp-gmm/seed-{seed}/evaluations.csv").open() as file:
            for row in csv.DictReader(file):
                if row["task_index"] == "5":
                    shares[seed, int(row["step"]) // 1000] += float(row["success"]) / 3
    np.testing.assert_allclose(drawn, 100 * shares.mean(axis=0), atol=0.5)
    browser.run("document.querySelector('button[data-move=\"1\"]').click()")
    assert browser.run(f"{pick}.value") == "6"
    assert browser.troubles() == []


def test_it_fits_on_paper(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = browser.run(f"{CURVE}.clientWidth")
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = "getComputedStyle(document.querySelector('{}')).display === 'none'"
    for control in ("input[data-group]", "select[data-drill]", "button[data-strips]"):
        assert browser.run(hidden.format(control))
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.call("Page.printToPDF")
    assert browser.troubles() == []
    browser.run("new Promise(r => setTimeout(r, 200))")
    assert browser.run(f"{CURVE}.clientWidth") == before
    assert browser.run(f"{CURVE}.querySelector('svg').clientWidth") == before


# Every registered teacher. ------------------------------------------------------------------------

BOX = BoxTasks([0, 0], [3, 6], names=["height", "spacing"], difficulty="height")
EXAMPLES = DiscreteTasks(60, difficulty=np.linspace(0, 1, 60))
MAZES = MazeTasks(7)
ON_LEVELS: dict[str, dict[str, Any]] = {
    "mixture": {"teacher": "plr"},
    "portfolio": {"teachers": ["plr", "random"]},
    "staged": {"stages": ["random", "plr"]},
}
SPACES: dict[str, TaskSpace] = {"box": BOX, "discrete": EXAMPLES, "levels": MAZES}
_COLUMNS = frozenset(
    {"probe", "returns", "successes", "lengths", "terminated", "truncated", "ids", "seeds"}
)
_PLAIN = frozenset({"discounted", "initial_values", "trials"})


def hardness(space: TaskSpace, tasks: Any) -> Any:
    if space.unit_dim:
        return space.to_unit(tasks).mean(axis=1)
    return np.minimum(space.difficulty_of(tasks) / 25.0, 1.0)


def taught(name: str, space: TaskSpace, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Let a teacher teach a learner for a while; return its snapshots as a run keeps them."""
    settings = ON_LEVELS.get(name, {}) if space.kind == "levels" else {}
    teacher = make_teacher(name, space, seed=0, return_range=(0, 1), **settings)
    curriculum = Curriculum(teacher, seed=0)
    lines = []
    for i in range(41):
        if i % 10 == 0:
            shown = {
                k: v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v
                for k, v in teacher.snapshot().items()
            }
            preview = teacher.preview(60, np.random.default_rng(1))
            lines.append(
                {
                    "step": i * 150, "episode": i * 20, "snapshot": shown,
                    "preview": np.asarray(preview).tolist(),
                }
            )  # fmt: skip
        for tickets in (curriculum.requests(), curriculum.issue(20)):
            if tickets is None or not len(tickets.ids):
                continue
            n = len(tickets.ids)
            hard = hardness(space, tickets.tasks)
            returns = np.clip(0.2 + i / 40 - hard + rng.normal(0, 0.1, n), 0, 1)
            extra: dict[str, Any] = {
                need: np.ones(n, dtype=int) if need == "trials" else rng.random(n)
                for need in teacher.needs & _PLAIN
            }
            scores = {need: rng.random(n) for need in teacher.needs - _COLUMNS - _PLAIN}
            curriculum.settle(
                tickets.ids, returns, lengths=[60] * n, successes=returns > 0.5, scores=scores,
                terminated=[True] * n, truncated=[False] * n, **extra,
            )  # fmt: skip
    return lines


def study_of_all(folder: Path, run_folder: Make, names: Sequence[str], space: TaskSpace) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        place = run_folder(folder / "runs" / name, space, teacher=name, snapshots=False)
        lines = [json.dumps(line) for line in taught(name, space, rng)]
        (place / "snapshots.jsonl").write_text("\n".join(lines) + "\n")
    plan = {
        "format": 1, "env": "currgym/X-v0", "student": "ppo", "steps": 6_000, "seeds": [0],
        "arms": [{"label": n, "teacher": n} for n in names], "baseline": names[0],
        "runs": {n: [f"runs/{n}"] for n in names},
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(plan))
    return folder


@pytest.mark.parametrize("kind", list(SPACES))
def test_every_teachers_snapshots_are_drawn_and_told_apart(
    browser: Browser, tmp_path: Path, run_folder: Make, kind: str
) -> None:
    space = SPACES[kind]
    names = [n for n in sorted(teachers) if kind in teachers[n].spaces]
    path = report.write(study_of_all(tmp_path, run_folder, names, space))
    browser.open(path)
    seen: dict[str, str] = {}
    for number, name in enumerate(names):
        box = f"document.getElementById('chart-frontier-plane-{number}')"
        # All but the steps, which are made up here, and the tasks it would propose: the teacher's
        # own marks, what the section below draws of it, and its words.
        own = ".filter(t => t.name !== 'would propose now').map(t => [t.mode, t.x, t.y])"
        drawn = browser.run(f"JSON.stringify({box}.data.slice(1){own})")
        inside = f"document.getElementById('chart-inside-{number}')"
        drawn += browser.run(f"{inside} ? JSON.stringify({inside}.data{own}) : ''")
        titles = f"{inside}.layout.annotations.map(a => a.text)"
        drawn += browser.run(f"{inside} ? JSON.stringify({titles}) : ''")
        said = browser.run(f"({box}.closest('figure').querySelector('.about') || {{}}).textContent")
        assert browser.run(f"{box}.querySelectorAll('.scatterlayer .trace').length") >= 1, name
        strip = f"document.getElementById('chart-frontier-{number}')"
        assert browser.run(f"{strip}.data.filter(t => t.mode).length") >= 3, name
        last = json.loads(
            (tmp_path / "runs" / name / "snapshots.jsonl").read_text().split("\n")[-2]
        )
        if any(isinstance(value, list) for value in last["snapshot"].values()):
            assert drawn != "[]", name
            seen[name] = drawn  # by what is drawn, without a word
        elif last["snapshot"]:
            seen[name] = str(said)
    assert browser.troubles() == []
    alike = [(a, b) for a in seen for b in seen if a < b and seen[a] == seen[b]]
    assert alike == []
