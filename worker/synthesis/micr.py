"""Draw MICR lines as printers and scanners make them, from the standard's grid, with the defects of both."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.checks.e13b import COLUMNS, PITCH_UNITS, ROWS, grid
from worker.synthesis.paper import degrade, draw_paper
from worker.values import Grey

_FINE = 8
"""Pixels for each unit of the grid at which lines are drawn, before a scanner samples them."""


def draw_routing(rng: np.random.Generator) -> str:
    """Draw a routing number whose ABA check digit is right: 3, 7, 1 weights, sum divisible by ten."""
    digits = [int(d) for d in rng.integers(0, 10, 8)]
    total = sum(d * w for d, w in zip(digits, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return "".join(map(str, [*digits, -total % 10]))


def draw_line_text(rng: np.random.Generator) -> str:
    """Draw a US line, personal or business: T transit, U on-us, A amount, D dash, blanks between fields."""
    account = "".join(str(d) for d in rng.integers(0, 10, int(rng.integers(6, 13))))
    if rng.random() < 0.2:
        at = int(rng.integers(2, len(account) - 2))
        account = f"{account[:at]}D{account[at:]}"
    serial = str(rng.integers(1, 10_000)).zfill(4)
    if rng.random() < 0.5:
        text = f"T{draw_routing(rng)}T {account}U {serial}"
    else:
        text = f"U{serial.zfill(6)}U T{draw_routing(rng)}T {account}U"
    if rng.random() < 0.2:
        text += f" A{int(rng.integers(1, 10**8)):010d}A"
    return text


def draw_line_ink(rng: np.random.Generator, text: str) -> NDArray[np.uint8]:
    """Print a line (H, W) uint8, white on black, ``_FINE`` pixels a unit, with the printer's defects.

    Defects are those that ANSI X9.27 names: voids within strokes, extraneous ink, edges that vary, uneven strength,
    and characters a little off their place, within a line or each.
    """
    pitch = PITCH_UNITS * _FINE
    margin = 3 * _FINE
    canvas = np.zeros((ROWS * _FINE + 2 * margin, round(pitch * len(text)) + 2 * margin), np.float32)
    weight = np.clip(rng.normal(0, 0.08), -0.15, 0.15)  # edges move by up to the 0.0015 in that X9.27 allows
    for i, character in enumerate(text):
        if character == " ":
            continue
        glyph = np.kron(grid(character), np.ones((_FINE, _FINE), np.uint8)).astype(np.float32)
        x = round(margin + i * pitch + rng.normal(0, 0.12) * _FINE)
        y = round(margin + rng.normal(0, 0.15) * _FINE)
        x, y = max(0, x), max(0, y)
        strength = np.float32(np.clip(rng.normal(1, 0.08), 0.6, 1))
        place = canvas[y : y + ROWS * _FINE, x : x + COLUMNS * _FINE]
        np.maximum(place, strength * glyph, out=place)
    level = 0.5 - weight + 0.06 * _blotches(rng, canvas.shape)
    spread = cv2.GaussianBlur(canvas, (0, 0), 0.35 * _FINE)
    ink = np.clip((spread - level) * 6 + 0.5, 0, 1)
    return np.asarray(255 * _spoil(rng, ink), np.uint8)


def draw_line(rng: np.random.Generator, text: str, unit_px: float) -> Grey:
    """Draw a line on paper as a scanner sees it, about ``unit_px`` pixels a unit, up to 2 degrees skewed."""
    ink = draw_line_ink(rng, text)
    scale = unit_px / _FINE * rng.uniform(0.96, 1.04)
    small = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    pad = round(12 * unit_px)
    small = np.pad(small, ((pad, pad), (round(rng.uniform(1, 6) * pad), pad)))
    h, w = small.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(np.clip(rng.normal(0, 0.7), -2, 2)), 1.0)
    small = cv2.warpAffine(small, turn, (w, h), flags=cv2.INTER_LINEAR)
    paper = draw_paper(rng, (h, w)).astype(np.float32)
    page = paper * (1 - rng.uniform(0.65, 0.97) * (np.asarray(small, np.float32) / 255))
    return np.asarray(degrade(rng, page), np.uint8)


def _blotches(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a smooth random field of about unit amplitude, with features of a unit or two."""
    coarse = rng.normal(0, 1, (shape[0] // _FINE + 2, shape[1] // _FINE + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _spoil(rng: np.random.Generator, ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put voids into the strokes and specks beside them."""
    spoiled = ink.copy()
    h, w = ink.shape
    for value, most in ((0.0, w // 60), (1.0, w // 200)):
        for _ in range(int(rng.integers(0, most + 1))):
            centre = int(rng.integers(w)), int(rng.integers(h))
            axes = tuple(max(1, int(v * _FINE)) for v in rng.uniform(0.15, 0.55, 2))
            cv2.ellipse(spoiled, centre, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
    return spoiled
