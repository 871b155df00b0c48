"""Seeded distortions of a page, as scanners, fax machines and telephones make them, with their exact homography."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Distorted:
    """A distorted page and the (3, 3) homography from the original's pixels to its pixels."""

    grey: NDArray[np.uint8]
    homography: Array
    what: str


def distort_page(grey: NDArray[np.uint8], rng: np.random.Generator) -> Distorted:
    """Skew to 10°, quarter turns, 150 to 600 dpi (from 300), shift, stretch, perspective, crop, stamp, light, noise."""
    height, width = grey.shape
    scale = float(np.exp(rng.uniform(np.log(0.5), np.log(2.0)))) if rng.random() < 0.8 else 1.0
    skew, turn = float(rng.uniform(-10, 10)), int(rng.integers(4))
    stretch = float(rng.uniform(0.985, 1.015))
    phone = rng.random() < 0.4
    lean = rng.uniform(0.0, 0.07, (4, 2)) * (width, height) if phone else np.zeros((4, 2))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    inward = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    lens = cv2.getPerspectiveTransform(corners.astype(np.float32), (corners + lean * inward).astype(np.float32))
    angle = np.deg2rad(skew + 90 * turn)
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    homography = np.array([[c, -s * stretch, 0], [s, c * stretch, 0], [0, 0, 1]]) @ lens
    ring = _project(homography, corners)
    low, high = ring.min(0), ring.max(0)
    size = high - low
    trim = rng.uniform(-0.03, 0.04, 4)  # positive: the edge is cut off
    if skew and abs(skew) > 4:
        trim = np.minimum(trim, 0.02)
    left, top = low + trim[:2] * size
    right, bottom = high - trim[2:] * size
    homography = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ homography
    out = (max(8, round(right - left)), max(8, round(bottom - top)))
    desk = 255 if not phone else int(rng.integers(40, 160))
    source = cv2.GaussianBlur(grey, (0, 0), 0.5 / scale) if scale < 0.9 else grey
    picture = cv2.warpPerspective(source, homography, out, flags=cv2.INTER_LINEAR, borderValue=desk)
    picture = _spoil(picture, rng, phone=phone, px_per_mm=300 / 25.4 * scale)
    what = f"scale {scale:.2f} skew {skew:.1f} turn {turn * 90}{' phone' if phone else ''}"
    return Distorted(picture, homography, what)


def _spoil(picture: NDArray[np.uint8], rng: np.random.Generator, *, phone: bool, px_per_mm: float) -> NDArray[np.uint8]:
    if rng.random() < 0.3:
        _stamp(picture, rng, px_per_mm)
    if phone:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 0.08 * px_per_mm + 0.31)))
        h, w = picture.shape
        ramp = np.add.outer(np.linspace(0, rng.uniform(-0.4, 0.4), h), np.linspace(0, rng.uniform(-0.4, 0.4), w))
        light = (np.clip(0.85 + ramp, 0.35, 1.0) * 255).astype(np.uint8)
        picture = cv2.multiply(picture, light, scale=1 / 255)
    if rng.random() < 0.7:
        noise = np.empty(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31)))
        cv2.randn(noise, 0, float(rng.uniform(2, 14)))
        picture = cv2.add(picture.astype(np.int16), noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        specks = rng.integers(0, picture.size, int(picture.size * rng.uniform(0.0005, 0.005)))
        picture.reshape(-1)[specks] = 0
    return picture


def _stamp(picture: NDArray[np.uint8], rng: np.random.Generator, px_per_mm: float) -> None:
    """Print a round stamp with a bar, somewhere over the print."""
    h, w = picture.shape
    at = (int(rng.uniform(0.15, 0.85) * w), int(rng.uniform(0.15, 0.85) * h))
    radius, pen = int(rng.uniform(10, 22) * px_per_mm), max(1, int(1.2 * px_per_mm))
    shade = int(rng.integers(30, 140))
    cv2.circle(picture, at, radius, shade, pen)
    cv2.circle(picture, at, int(radius * 0.75), shade, pen)
    bar = int(radius * 0.9)
    cv2.rectangle(picture, (at[0] - bar, at[1] - 3 * pen), (at[0] + bar, at[1] + 3 * pen), shade, pen)


def _project(homography: Array, points: Array) -> Array:
    p = np.c_[points, np.ones(len(points))] @ homography.T
    return np.asarray(p[:, :2] / p[:, 2:])
