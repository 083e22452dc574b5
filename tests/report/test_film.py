from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from currgym.report.film import film, record, side_by_side


class Counting(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Ends after ``task`` steps, solved if the last action was 1; frames brighten step by step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.seeds: list[int | None] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        assert options is not None
        self.seeds.append(seed)
        self.at, self.end = 0, int(options["task"])
        return np.zeros(1, np.float32), {}

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.at += 1
        over = self.at == self.end
        info = {"success": action == 1} if over else {}
        return np.zeros(1, np.float32), 1.0, over, False, info

    def render(self) -> Any:
        return np.full((20, 40, 3), self.at % 256, np.uint8)


class Batched:
    """A policy as students give it: batches, and a mark where an episode begins."""

    def __init__(self) -> None:
        self.starts: list[bool] = []

    def act(self, observations: Any, starts: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        assert np.shape(observations) == (1, 1)
        assert starts is not None
        self.starts.append(bool(starts[0]))
        return np.array([0])


def one(observation: Any) -> int:
    return 1


def test_a_short_episode_is_kept_whole() -> None:
    clip = record(one, Counting(), 10, seed=4, fps=20)
    assert [int(f[0, 0, 0]) for f in clip.frames] == list(range(11))
    assert (clip.stride, clip.length, clip.result, clip.success) == (1, 10, 10.0, 1.0)
    assert clip.outcome == "solved after 10 steps, return 10"


def test_a_slow_film_skips_frames_it_cannot_show() -> None:
    clip = record(one, Counting(), 10, fps=5)
    assert [int(f[0, 0, 0]) for f in clip.frames] == [0, 4, 8, 10]


@pytest.mark.parametrize("length", [9, 10, 37, 64, 65, 100])
def test_a_long_episode_is_thinned_evenly_and_keeps_its_ends(length: int) -> None:
    clip = record(one, Counting(), length, fps=20, max_frames=8)
    times = [int(f[0, 0, 0]) for f in clip.frames]
    assert len(times) <= 9
    assert times[0] == 0
    assert times[-1] == length
    assert times[:-1] == [i * clip.stride for i in range(len(times) - 1)]


def test_students_policies_get_batches_and_starts() -> None:
    policy = Batched()
    clip = record(policy, Counting(), 3)
    assert policy.starts == [True, False, False]
    assert clip.outcome == "not solved after 3 steps, return 3"


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_a_film_is_written(tmp_path: Path, ending: str) -> None:
    env = Counting()
    path = film(one, env, 12, 5, tmp_path / "new" / f"f.{ending}", fps=20, title="Hi", width=80)
    assert env.seeds == [5]
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 13
        assert image.width == 80
        assert image.height > 40  # the caption is below
        assert image.info["loop"] == 0


def test_side_by_side_the_first_to_end_waits(tmp_path: Path) -> None:
    tasks = {"easy": 200, "hard": 50}
    path = side_by_side(one, Counting(), tasks, 0, tmp_path / "f.gif", fps=20, width=60)
    with Image.open(path) as image:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(image)]
    assert frames[0].shape[1] == 60 + 10 + 60
    left = [int(f[5, 5, 0]) for f in frames]
    right = [int(f[5, 100, 0]) for f in frames]
    assert left[-1] == pytest.approx(200, abs=4)
    assert right[-1] == pytest.approx(50, abs=4)
    assert max(right) <= 54
    # Both run on one clock: at the first quarter they show the same.
    assert left[len(left) // 8] == pytest.approx(right[len(right) // 8], abs=6)


def test_what_cannot_be_filmed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="render_mode"):
        record(one, Counting(render_mode=None), 3)
    with pytest.raises(ValueError, match=r"\.gif or \.webp"):
        film(one, Counting(), 3, 0, tmp_path / "f.mp4")
    with pytest.raises(ValueError, match="at least one clip"):
        side_by_side(one, Counting(), {}, 0, tmp_path / "f.gif")
    with pytest.raises(ValueError, match="max_frames"):
        record(one, Counting(), 3, max_frames=1)
    with pytest.raises(ValueError, match="fps"):
        record(one, Counting(), 3, fps=0)
