"""What scanners and telephones do to a page, with its homography; and pages without a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.synthesis.forms import FormSample, write_on
from worker.synthesis.glyphs import Hand
from worker.synthesis.lines import write_line
from worker.synthesis.paper import add_shadow, cut_texture
from worker.synthesis.pen import Pen
from worker.values import Grey


@dataclass(frozen=True, slots=True)
class Distortion:
    """How a page lies: ``skew_deg`` clockwise; ``shift`` and ``perspective`` are shares of its sides."""

    skew_deg: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    perspective: tuple[float, float] = (0.0, 0.0)


def draw_distortion(rng: np.random.Generator, *, skew_deg: float = 3.0, perspective: float = 0.0) -> Distortion:
    """Draw a distortion up to a skew and a perspective, with a shift up to 2 % and a scale up to 3 %."""
    return Distortion(
        skew_deg=float(rng.uniform(-skew_deg, skew_deg)),
        scale=float(rng.uniform(0.97, 1.03)),
        shift=(float(rng.uniform(-0.02, 0.02)), float(rng.uniform(-0.02, 0.02))),
        perspective=(
            float(rng.uniform(-perspective, perspective)),
            float(rng.uniform(-perspective, perspective)),
        ),
    )


def distort_form(sample: FormSample, distortion: Distortion) -> FormSample:
    """Return the page distorted, with its homography; what comes into view beside it is white."""
    H, W = sample.grey.shape
    matrix = homography_of(distortion, (W, H))
    grey = cv2.warpPerspective(sample.grey, matrix, (W, H), flags=cv2.INTER_LINEAR, borderValue=255)
    return FormSample(grey.astype(np.uint8), matrix @ sample.page_from_mm, sample.digits)


def homography_of(distortion: Distortion, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the (3, 3) homography of a distortion of a page of ``size`` (width, height) in pixels."""
    W, H = size
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D((W / 2, H / 2), -distortion.skew_deg, distortion.scale)
    centre = np.array([[1, 0, W / 2], [0, 1, H / 2], [0, 0, 1.0]])
    lean = np.eye(3)
    lean[2, :2] = distortion.perspective[0] / W, distortion.perspective[1] / H
    shift = np.array([[1, 0, distortion.shift[0] * W], [0, 1, distortion.shift[1] * H], [0, 0, 1.0]])
    matrix: NDArray[np.float64] = shift @ centre @ lean @ np.linalg.inv(centre) @ turn
    return matrix


def photograph(rng: np.random.Generator, grey: Grey, *, shadow: bool = True) -> Grey:
    """Take a picture of a page as a telephone does: uneven light, a shadow, grain, a little blur."""
    H, W = grey.shape
    light = rng.uniform(0.72, 0.9) + rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, W, dtype=np.float32)
    light = light + (rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, H, dtype=np.float32))[:, None]
    picture: NDArray[Any] = grey * light.astype(np.float32)
    if shadow:
        picture = add_shadow(rng, picture)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 1.1))
    picture = picture + rng.uniform(2, 4) * rng.standard_normal((H, W), dtype=np.float32)
    return picture.clip(0, 255).astype(np.uint8)


def draw_free_page(
    rng: np.random.Generator,
    lines: Sequence[Sequence[str]],
    writer: tuple[Hand, Pen],
    *,
    size: tuple[int, int] = (1200, 1600),
) -> Grey:
    """Draw numbers on an empty sheet, line by line: (H, W) uint8; ``size`` is (W, H)."""
    W, H = size
    hand, pen = writer
    tone = 244 + 0.8 * cut_texture(rng, (H, W))
    page: NDArray[Any] = tone.clip(0, 255).astype(np.uint8)
    pitch = 0.8 * H / len(lines)
    height = min(0.5 * pitch, 0.06 * H)
    for row, numbers in enumerate(lines):
        x, y = W * rng.uniform(0.08, 0.14), 0.1 * H + (row + 0.25) * pitch
        for number in numbers:
            line = write_line(rng, hand, number, pen.width)
            points = np.concatenate([*line.shapes, line.extra]).reshape(-1, 2)
            low, high = points.min(axis=0), points.max(axis=0)
            write_on(rng, page, line, pen, (np.array([x - low[0] * height, y], np.float32), height))
            x += (float(high[0] - low[0]) + rng.uniform(1.3, 1.8)) * height
    return page
