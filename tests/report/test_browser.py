"""The page in a real browser: it draws, it moves, it loads nothing, it complains of nothing."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from currgym import report

Make = Callable[..., Path]
Browser = Any

pytestmark = pytest.mark.slow

CHARTS = 14
CURVE = "document.getElementById('chart-curves')"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, study_folder: Make) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    study_folder(folder / "s", seeds=2, kind="supervised", arms=("random", "window"))
    arms = ("random", "uniform-steps", "alp-gmm", "window")
    return report.write(study_folder(folder / "c", arms=arms, supervised="../s", film=True))


def pixels(png: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def looks(browser: Browser, chart: str) -> str:
    drawn: str = browser.run(f"document.getElementById('{chart}').querySelector('svg').outerHTML")
    return drawn


@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), (390, 800, True)])
def test_everything_is_drawn_and_nothing_complains(
    browser: Browser, page: Path, width: int, height: int, mobile: bool
) -> None:
    browser.open(page, width, height, mobile)
    assert browser.run("document.documentElement.dataset.charts") == str(CHARTS)
    assert browser.run("document.querySelectorAll('.chart .main-svg').length") >= CHARTS
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


def test_the_slider_moves_the_teachers_model(browser: Browser, page: Path) -> None:
    browser.open(page)
    chart = "chart-model-2"
    slider = f"document.getElementById('{chart}').closest('figure').querySelector('input')"
    late = looks(browser, chart)
    browser.run(f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input'))")
    assert looks(browser, chart) != late
    said = f"{slider}.closest('.controls').querySelector('output').textContent"
    assert browser.run(said) == "after 0 steps"
    # By keyboard too.
    browser.run(f"{slider}.focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="End", code="End", windowsVirtualKeyCode=35
        )
    assert browser.run(said) == "after 4,800 steps"
    assert looks(browser, chart) == late


def test_it_fits_on_paper(browser: Browser, page: Path) -> None:
    browser.open(page)
    before = browser.run(f"{CURVE}.clientWidth")
    browser.call("Page.printToPDF")
    assert browser.troubles() == []
    browser.run("new Promise(r => setTimeout(r, 200))")
    assert browser.run(f"{CURVE}.clientWidth") == before
    assert browser.run(f"{CURVE}.querySelector('svg').clientWidth") == before
