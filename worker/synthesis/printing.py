"""Printed matter round a field: frames, dividers, combs, baselines, labels; on (H, W) uint8 paper."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from worker.synthesis.glyphs import pick
from worker.values import Grey

DATES = ("DDMMYYYY", "MMDDYYYY", "DDMMAAAA", "TTMMJJJJ", "YYYYMMDD")
WORDS = ("AMOUNT", "Total", "No.", "Date", "Valor", "Importe", "Betrag", "Rs.", "ID")
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_PLAIN,
)


class LineStyle(NamedTuple):
    """How a line is printed: thickness, dash and gap in pixels (no gap: solid), and its tone."""

    thickness: int
    dash: float
    gap: float
    tone: float


class WritingPlace(NamedTuple):
    """Where writing stands on a paper, in pixels, and how it is laid out.

    ``left`` and ``top`` of its first digit, ``height`` of its digits, ``width`` of the whole, and for writing
    in cells their ``pitch`` and how many.
    """

    left: float
    top: float
    height: float
    width: float
    pitch: float = 0.0
    cells: int = 0


def draw_style(rng: np.random.Generator, tone: float) -> LineStyle:
    """Draw a style of line: mostly thin and solid, else dashed, dotted or with breaks."""
    thickness = 1 + pick(rng, (0.65, 0.25, 0.1))
    kind = rng.random()
    if kind < 0.75:
        return LineStyle(thickness, 1.0, 0.0, tone)
    if kind < 0.93:
        return LineStyle(thickness, rng.uniform(2, 10), rng.uniform(1, 5), tone)
    return LineStyle(thickness, rng.uniform(20, 60), rng.uniform(2, 20), tone)


def draw_rule(paper: Grey, start: tuple[float, float], end: tuple[float, float], style: LineStyle) -> None:
    """Draw a printed line."""
    a, b = np.array(start), np.array(end)
    length = float(np.hypot(*(b - a)))
    if style.gap == 0 or length < 8:
        shares = np.array([[0.0, 1.0]])
    else:
        at = np.arange(0, length, style.dash + style.gap)[:120]
        shares = np.stack([at, np.minimum(at + style.dash, length)], axis=1) / length
    pieces = np.round((a + (b - a) * shares[..., None]) * 16).astype(np.int32)
    cv2.polylines(paper, list(pieces), False, style.tone, style.thickness, cv2.LINE_AA, 4)


def print_around(rng: np.random.Generator, paper: Grey, place: WritingPlace, *, frame_share: float = 0.22) -> None:
    """Print what stands round a field before it is written on: cells, a frame, rules, a label."""
    dark = rng.uniform(0.05, 0.6) if rng.random() < 0.7 else rng.uniform(0.5, 0.85)
    style = draw_style(rng, float(paper.mean()) * dark)
    top = place.top - place.height * rng.uniform(0.0, 0.4)
    bottom = place.top + place.height * (1 + rng.uniform(0.0, 0.4))
    if place.cells:
        _print_cells(rng, paper, place, (top, bottom), style)
        return
    others = (1 - frame_share) / 0.78
    kind = pick(rng, (frame_share, 0.32 * others, 0.12 * others, 0.1 * others, 0.24 * others))
    if kind == 0:
        _print_frame(rng, paper, place, (top, bottom), style)
    elif kind == 1:
        _print_baseline(rng, paper, place, style)
    elif kind == 2:
        _print_stray_rules(rng, paper, style)
    elif kind == 3:
        print_ruling(rng, paper, place.height * rng.uniform(0.35, 1.6), squared=rng.random() < 0.5)
    if rng.random() < 0.06:
        H, W = paper.shape
        at = (rng.uniform(0, W * 0.6), 0.25 * place.height if rng.random() < 0.5 else H - 1)
        word, font = WORDS[int(rng.integers(len(WORDS)))], FONTS[int(rng.integers(len(FONTS)))]
        _print_text(paper, word, at, font, (place.height * 0.25, style.tone))


def _print_cells(
    rng: np.random.Generator, paper: Grey, place: WritingPlace, span: tuple[float, float], style: LineStyle
) -> None:
    """Print cells side by side, a comb, or boxes apart; often with letters or numbers under them."""
    top, bottom = span
    edges = place.left + place.pitch * np.arange(place.cells + 1)
    kind = pick(rng, (0.55, 0.15, 0.15, 0.15))
    if kind == 0:
        other = style if rng.random() < 0.8 else draw_style(rng, style.tone)
        for x in edges:
            draw_rule(paper, (x, top), (x, bottom), other)
        for y in (top, bottom):
            if rng.random() < 0.95:
                draw_rule(paper, (edges[0], y), (edges[-1], y), style)
    elif kind == 1:
        tooth = rng.uniform(0.15, 0.5) * (bottom - top)
        for x in edges:
            draw_rule(paper, (x, bottom - tooth), (x, bottom), style)
        draw_rule(paper, (edges[0], bottom), (edges[-1], bottom), style)
    elif kind == 2:
        gap = rng.uniform(0.04, 0.14) * place.pitch
        for x in edges[:-1]:
            corners = (round(x + gap), round(top)), (round(x + place.pitch - gap), round(bottom))
            cv2.rectangle(paper, *corners, style.tone, style.thickness)
    if rng.random() < 0.45:
        _print_cell_labels(rng, paper, place, bottom, style.tone)


def _print_cell_labels(rng: np.random.Generator, paper: Grey, place: WritingPlace, bottom: float, tone: float) -> None:
    """Print a letter of the date, or a number, under each cell."""
    font = FONTS[int(rng.integers(len(FONTS)))]
    signs = "12345678901234567890"
    if place.cells == 8 and rng.random() < 0.8:
        signs = DATES[int(rng.integers(len(DATES)))]
    height = place.height * rng.uniform(0.15, 0.5)
    baseline = bottom + height + place.height * rng.uniform(0.08, 0.3)
    size = (height, tone * rng.uniform(0.3, 1.0))
    for i, sign in enumerate(signs[: place.cells]):
        x = place.left + place.pitch * (i + 0.5) - 0.35 * height
        _print_text(paper, sign, (x, baseline), font, size)


def _print_frame(
    rng: np.random.Generator, paper: Grey, place: WritingPlace, span: tuple[float, float], style: LineStyle
) -> None:
    """Print a box, sometimes in part, with one side unlike the others, or with a cell for the currency."""
    top, bottom = span
    pad = place.height * rng.uniform(0, 0.5)
    left, right = place.left - pad, place.left + place.width + pad
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    kept = 1.0 if rng.random() < 0.7 else 0.6
    for i in range(4):
        if rng.random() < kept:
            side = style if rng.random() < 0.9 else draw_style(rng, style.tone)
            draw_rule(paper, corners[i], corners[(i + 1) % 4], side)
    if rng.random() < 0.3:
        x = left + place.height * rng.uniform(0.3, 1.4)
        draw_rule(paper, (x, top), (x, bottom), style)


def _print_baseline(rng: np.random.Generator, paper: Grey, place: WritingPlace, style: LineStyle) -> None:
    W = paper.shape[1]
    y = place.top + place.height * rng.normal(1.12, 0.12)
    draw_rule(paper, (rng.uniform(-20, 0.2 * W), y), (W * rng.uniform(0.8, 1.1), y + rng.normal(0, 1.5)), style)


def print_worn_rule(rng: np.random.Generator, paper: Grey, place: WritingPlace) -> None:
    """Print what a threshold left of a dotted or dashed rule at the digits' feet: its dots look like points."""
    W = paper.shape[1]
    size = place.height * rng.uniform(0.03, 0.12)
    pitch = size * rng.uniform(1.3, 4.0)
    y, rise = place.top + place.height * rng.normal(1.0, 0.08), rng.normal(0, 0.01)
    kept, tone = rng.uniform(0.2, 1.0), float(paper.mean()) * rng.uniform(0.05, 0.6)
    steps = np.arange(rng.uniform(-20, 0.2 * W), W * rng.uniform(0.8, 1.05), pitch)
    gone = rng.random(len(steps)) > kept
    gone |= np.sin(np.arange(len(steps)) * rng.uniform(0.05, 0.8) + rng.uniform(0, 6)) > rng.uniform(0.0, 1.3)
    for x in steps[~gone]:
        axes = np.maximum(1, np.round(16 * size * rng.uniform(0.3, 0.7) * np.array([rng.uniform(0.8, 2.2), 1]))) / 16
        middle = (x, y + rise * x + rng.normal(0, 0.15 * size))
        cv2.ellipse(paper, (middle, (2 * axes[0], 2 * axes[1]), 0.0), tone, -1, cv2.LINE_AA)


def _print_stray_rules(rng: np.random.Generator, paper: Grey, style: LineStyle) -> None:
    """Print rules of something else, mostly along the borders."""
    H, W = paper.shape
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.6:
            low, high = ((0, 3), (H - 4, H - 1), (0, H))[pick(rng, (0.35, 0.4, 0.25))]
            y = rng.uniform(low, high)
            draw_rule(paper, (0, y), (W, y + rng.normal(0, 1)), style)
        else:
            x = rng.uniform(0, 4) if rng.random() < 0.5 else rng.uniform(W - 5, W - 1)
            draw_rule(paper, (x, 0), (x + rng.normal(0, 1), H), style)


def _print_text(paper: Grey, text: str, at: tuple[float, float], font: int, size: tuple[float, float]) -> None:
    """Print a text, baseline left at ``at``; ``size`` is its capitals' height in pixels and its tone."""
    height, tone = size
    scale = height / cv2.getTextSize("H", font, 1.0, 1)[0][1]
    weight = max(1, round(height / 9))
    cv2.putText(paper, text, (round(at[0]), round(at[1])), font, scale, tone, weight, cv2.LINE_AA)


def print_ruling(rng: np.random.Generator, paper: Grey, pitch: float, squared: bool) -> None:
    """Rule the paper: lines, or squares where ``squared``."""
    H, W = paper.shape
    tone = float(paper.mean()) * rng.uniform(0.6, 0.92)
    y = rng.uniform(0, pitch)
    lean = rng.normal(0, 0.01) * W
    while y < H:
        cv2.line(paper, (0, round(y)), (W, round(y + lean)), tone, 1, cv2.LINE_AA)
        y += pitch
    x = rng.uniform(0, pitch)
    while squared and x < W:
        cv2.line(paper, (round(x), 0), (round(x - lean * H / W), H), tone, 1, cv2.LINE_AA)
        x += pitch
