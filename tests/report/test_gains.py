import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from currgym import report
from currgym.report.data import load
from currgym.report.gains import gain_svg, gains, has_parts, measure_of, scale_of

Make = Callable[..., Path]


@pytest.fixture
def replayed(tmp_path: Path, study_folder: Make) -> Path:
    arms = ("random", "alp-gmm", "yoked-alp-gmm", "yoked-shuffled-alp-gmm")
    return study_folder(tmp_path / "c", seeds=3, arms=arms)


def test_the_parts_add_up(replayed: Path) -> None:
    study = load(replayed)
    (gain,) = gains(study)  # replays explain, they are no rows of their own
    assert gain.arm.label == "alp-gmm"
    assert list(gain.parts) == ["marginal", "order", "adaptivity"]
    assert gain.total is not None
    assert sum(p.estimate for p in gain.parts.values()) == pytest.approx(gain.total.estimate)
    ours = study.arms[1].final("mastered")
    base = np.mean(list(study.arms[0].final("mastered").values()))
    np.testing.assert_allclose(sorted(gain.seeds), sorted(v - base for v in ours.values()))


def test_the_picture_is_to_scale(replayed: Path) -> None:
    study = load(replayed)
    found = gains(study)
    metric = measure_of(study)
    scale = scale_of(found, 5.0, metric)
    assert scale is not None
    drawn = gain_svg(found[0], scale, 5.0, metric, "#0072B2")
    assert drawn.count("<circle") == 3
    band = re.search(r'class="sesoi" x="([\d.]+)" y="0" width="([\d.]+)"', drawn)
    assert band is not None
    assert float(band[1]) == pytest.approx(scale.x(-5.0), abs=0.06)
    assert float(band[2]) == pytest.approx(scale.x(5.0) - scale.x(-5.0), abs=0.11)
    bars = re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)" height="10" fill', drawn)
    for (left, width), part in zip(bars, found[0].parts.values(), strict=True):
        ends = sorted((scale.x(0.0), scale.x(part.estimate)))
        assert float(left) == pytest.approx(ends[0], abs=0.06)
        assert float(width) == pytest.approx(ends[1] - ends[0], abs=0.11)


def test_on_the_page(replayed: Path) -> None:
    page = report.write(replayed).read_text()
    assert page.index('id="gain"') < page.index('id="frontier"') < page.index('id="signal"')
    assert "their order" in page
    assert "--controls" not in page
    assert "<summary>The replays that split the gain" in page


def test_without_replays_the_difference_is_whole(tmp_path: Path, study_folder: Make) -> None:
    study = load(study_folder(tmp_path / "c", seeds=2))
    assert not has_parts(gains(study))
    assert [g.arm.label for g in gains(study)] == ["alp-gmm", "window"]
