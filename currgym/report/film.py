"""Films of a student at work: animated GIF or WebP, by the file's ending."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from currgym.report.text import number

__all__ = ["Actor", "Clip", "film", "record", "side_by_side", "write_film"]

Frame = NDArray[np.uint8]

HOLD_SECONDS = 1.5
_GAP = 10
_COLOURS = 96
_DEFAULT_RATE = 30.0
_SOLVED, _FAILED, _QUIET = "#00785A", "#B34700", "#5A5A5A"


class Actor(Protocol):
    """A student's behaviour: one action for each of a batch of observations."""

    def act(self, observations: Any, starts: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return one action for each raw observation; ``starts`` is True at an episode's first."""
        ...


Policy = Actor | Callable[[Any], Any]


@dataclass(frozen=True)
class Clip:
    """One filmed episode.

    Attributes:
        frames: uint8 ``(height, width, 3)`` each, the first and the last of the episode included.
        stride: Environment steps from one frame to the next.
        rate: Environment steps a second in the environment's own time.
        result: The return.
        length: Environment steps.
        success: Share solved as the environment reports it, or None.
    """

    frames: tuple[Frame, ...]
    stride: int
    rate: float
    result: float
    length: int
    success: float | None

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        if self.success is None:
            return f"return {number(self.result)} after {self.length:,} steps"
        word = "solved" if self.success >= 0.5 else "not solved"
        return f"{word} after {self.length:,} steps, return {number(self.result)}"


def record(
    policy: Policy,
    env: gymnasium.Env[Any, Any],
    task: Any,
    *,
    seed: int = 0,
    max_frames: int = 200,
    fps: float = 25.0,
) -> Clip:
    """Play one episode and keep at most so many frames of it, evenly over its length.

    Args:
        policy: An :class:`Actor`, or a function observation -> action.
        env: Made with ``render_mode="rgb_array"``; must end its episodes.
        task: As ``reset(options={"task": ...})`` takes it.
        seed: Of the episode.
        max_frames: Frames kept at most, at least 2; a longer episode is thinned out.
        fps: Frames a second of the film to come; more than it can show are not kept.

    Raises:
        ValueError: If the environment does not render to arrays, or a number is out of range.
    """
    if env.render_mode != "rgb_array":
        raise ValueError(
            'a film needs an environment made with render_mode="rgb_array", '
            f"got {env.render_mode!r}"
        )
    if max_frames < 2:
        raise ValueError(f"max_frames must be at least 2, got {max_frames}")
    if fps <= 0:
        raise ValueError(f"fps must be above 0, got {fps}")
    rate = float(env.metadata.get("render_fps") or _DEFAULT_RATE)
    stride = max(1, round(rate / fps))
    observation, _ = env.reset(seed=seed, options={"task": task})
    kept = [_frame(env)]
    result, length, done = 0.0, 0, False
    info: dict[str, Any] = {}
    while not done:
        observation, reward, terminated, truncated, info = env.step(
            _choose(policy, observation, length == 0)
        )
        result += float(reward)
        length += 1
        done = bool(terminated or truncated)
        if length % stride == 0 or done:
            kept.append(_frame(env))
        if len(kept) > max_frames:
            # Too long for its frames: every second one is enough, from here on too. The first and,
            # at the end, the last stay.
            kept = kept[::2] if len(kept) % 2 or not done else [*kept[::2], kept[-1]]
            stride *= 2
    success = info.get("success")
    return Clip(
        tuple(kept), stride, rate, result, length, None if success is None else float(success)
    )


def film(
    policy: Policy,
    env: gymnasium.Env[Any, Any],
    task: Any,
    seed: int,
    path: str | Path,
    *,
    max_frames: int = 200,
    fps: float = 25.0,
    title: str = "",
    width: int = 360,
) -> Path:
    """Film one episode.

    Args:
        policy: An :class:`Actor`, or a function observation -> action.
        env: Made with ``render_mode="rgb_array"``.
        task: What to attempt.
        seed: Of the episode.
        path: The file; ``.gif`` or ``.webp``.
        max_frames: At most so many.
        fps: Frames a second.
        title: Under the picture, above how it ended.
        width: Of the film, pixels.

    Raises:
        ValueError: For another ending, or an environment that does not render to arrays.
    """
    return side_by_side(
        policy, env, {title: task}, seed, path, max_frames=max_frames, fps=fps, width=width
    )


def side_by_side(
    policy: Policy,
    env: gymnasium.Env[Any, Any],
    tasks: Mapping[str, Any],
    seed: int,
    path: str | Path,
    *,
    max_frames: int = 200,
    fps: float = 25.0,
    width: int = 360,
) -> Path:
    """Film the same policy on several tasks, next to each other: an easy one and a hard one, say.

    Args:
        policy: An :class:`Actor`, or a function observation -> action.
        env: Made with ``render_mode="rgb_array"``.
        tasks: Title -> task, from left to right.
        seed: Of every episode.
        path: The file; ``.gif`` or ``.webp``.
        max_frames: Of each, at most.
        fps: Frames a second.
        width: Of each picture, pixels.

    Raises:
        ValueError: For no task, another ending, or an environment that does not render to arrays.
    """
    _kind(path)
    clips = [
        (title, record(policy, env, task, seed=seed, max_frames=max_frames, fps=fps))
        for title, task in tasks.items()
    ]
    return write_film(clips, path, fps=fps, width=width)


def write_film(
    clips: Sequence[tuple[str, Clip]], path: str | Path, *, fps: float = 25.0, width: int = 360
) -> Path:
    """Write clips with their titles as one film, side by side; those that end first wait.

    Raises:
        ValueError: For no clip, or an ending other than ``.gif`` and ``.webp``.
    """
    kind, target = _kind(path), Path(path)
    if not clips:
        raise ValueError("a film needs at least one clip")
    # One clock for all: each clip shows the frame that is due at that environment step.
    stride = max(clip.stride for _, clip in clips)
    longest = max(clip.length for _, clip in clips)
    times = [*range(0, longest, stride), longest]
    images = [_together(clips, time, width, fps * stride) for time in times]
    target.parent.mkdir(parents=True, exist_ok=True)
    durations = [round(1000.0 / fps)] * (len(images) - 1) + [round(1000.0 * HOLD_SECONDS)]
    if kind == "webp":
        images[0].save(
            target, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=70
        )
        return target
    palette = _palette(images)
    flat = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    flat[0].save(
        target, save_all=True, append_images=flat[1:], duration=durations, loop=0, optimize=False
    )
    return target


def _kind(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".gif", ".webp"):
        raise ValueError(f"a film ends in .gif or .webp, got {str(path)!r}")
    return suffix[1:]


def _choose(policy: Policy, observation: Any, start: bool) -> Any:
    act = getattr(policy, "act", None)
    if act is None:
        return policy(observation)  # type: ignore[operator]
    batch = (
        {name: np.asarray(part)[None] for name, part in observation.items()}
        if isinstance(observation, dict)
        else np.asarray(observation)[None]
    )
    return act(batch, np.array([start]))[0]


def _frame(env: gymnasium.Env[Any, Any]) -> Frame:
    rendered: Any = env.render()
    return np.asarray(rendered, dtype=np.uint8)[..., :3].copy()


def _together(
    clips: Sequence[tuple[str, Clip]], time: int, width: int, speed: float
) -> Image.Image:
    """Return one frame of the film: every clip's frame of that time with its caption."""
    pictures = []
    for title, clip in clips:
        over = time >= clip.length
        index = len(clip.frames) - 1 if over else min(time // clip.stride, len(clip.frames) - 1)
        frame = Image.fromarray(clip.frames[index])
        height = max(1, round(frame.height * width / frame.width))
        frame = frame.resize((width, height), Image.Resampling.LANCZOS)
        pictures.append(_captioned(frame, title, clip, None if over else time, speed / clip.rate))
    tallest = max(p.height for p in pictures)
    whole = Image.new("RGB", (len(pictures) * width + (len(pictures) - 1) * _GAP, tallest), "white")
    for i, picture in enumerate(pictures):
        whole.paste(picture, (i * (width + _GAP), 0))
    return whole


def _captioned(
    frame: Image.Image, title: str, clip: Clip, time: int | None, speed: float
) -> Image.Image:
    above = 19 if title else 0
    whole = Image.new("RGB", (frame.width, frame.height + 27 + above), "white")
    whole.paste(frame, (0, 0))
    draw = ImageDraw.Draw(whole)
    y = frame.height + 5
    draw.text((2, y), _fit(title, frame.width - 4, True), fill="#1A1A1A", font=_font(14, True))
    if time is None:
        colour = _QUIET
        if clip.success is not None:
            colour = _SOLVED if clip.success >= 0.5 else _FAILED
        text = clip.outcome
    else:
        colour, text = _QUIET, f"step {time:,}"
        if not 0.8 < speed < 1.25:
            text += f", {speed:.2g}\u00d7 speed"
    draw.text(
        (2, y + above), _fit(text, frame.width - 4, False), fill=colour, font=_font(13, False)
    )
    return whole


def _fit(text: str, width: int, bold: bool) -> str:
    """Return the text, cut where it would run out of the picture."""
    font = _font(14 if bold else 13, bold)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "\u2026") > width:
        text = text[:-1]
    return text.rstrip() + "\u2026"


@lru_cache(maxsize=4)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    # Matplotlib carries this typeface, so that films look alike everywhere.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def _palette(images: Sequence[Image.Image]) -> Image.Image:
    """Return one palette for the whole film, made of frames from all over it."""
    chosen = [images[i] for i in np.linspace(0, len(images) - 1, 6).round().astype(int)]
    width, height = chosen[0].size
    sheet = Image.new("RGB", (width, height * len(chosen)))
    for i, image in enumerate(chosen):
        sheet.paste(image, (0, i * height))
    flat = sheet.quantize(colors=_COLOURS, method=Image.Quantize.MEDIANCUT)
    # Median cut greys white a little, which shows on a white page.
    entries = np.array(flat.getpalette(), dtype=np.uint8).reshape(-1, 3)
    entries[(entries >= 248).all(axis=1)] = 255
    flat.putpalette(entries.ravel().tolist())
    return flat
