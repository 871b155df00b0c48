"""The paths of pictures by the IIIF Image API 3.0 (https://iiif.io/api/image/3.0): which region, how large, turned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MOST_PIXELS = 16_000_000
"""Pixels of an answer: four times a large screen's; more would only fill memory."""

_NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
_REGION = re.compile(rf"(pct:)?({_NUMBER}),({_NUMBER}),({_NUMBER}),({_NUMBER})")
_SIZE = re.compile(r"(\^)?(?:pct:(?P<pct>\d{1,4}(?:\.\d{1,6})?)|(?P<fit>!)?(?P<w>\d{1,6})?,(?P<h>\d{1,6})?)")


class UnfitPathError(ValueError):
    """A part of the path is none that the standard knows, or asks for more than there is."""


@dataclass(frozen=True, slots=True)
class PictureOrder:
    """What is cut out of a page, and how it is shown: ``box`` is (x, y, w, h) in page pixels, ``size`` (w, h)."""

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    turn_deg: int
    format: str


def parse_path(region: str, size: str, rotation: str, file: str, box: tuple[int, int, int, int]) -> PictureOrder:
    """Return what a path asks for of the picture that lies at ``box`` on its page.

    Raises
    ------
    UnfitPathError
        Says which part is wrong.
    """
    width, height = box[2:]
    x, y, w, h = _parse_region(region, width, height)
    if file not in ("default.jpg", "gray.jpg", "default.png", "gray.png"):
        raise UnfitPathError("the last part is default or gray, with .jpg or .png")
    if rotation not in ("0", "90", "180", "270"):
        raise UnfitPathError("the rotation is 0, 90, 180 or 270")
    target = _parse_size(size, w, h)
    return PictureOrder((box[0] + x, box[1] + y, w, h), target, int(rotation), file.rpartition(".")[2])


def describe(identity: str, width: int, height: int) -> dict[str, Any]:
    """Return the ``info.json`` of a picture."""
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": identity,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level1",
        "width": width,
        "height": height,
        "maxArea": MOST_PIXELS,
        "extraQualities": ["gray"],
        "extraFormats": ["png"],
        "extraFeatures": ["regionByPct", "rotationBy90s", "sizeByConfinedWh", "sizeByPct", "sizeUpscaling"],
    }


def _parse_region(region: str, width: int, height: int) -> tuple[int, int, int, int]:
    if region == "full":
        return 0, 0, width, height
    if region == "square":
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side
    match = _REGION.fullmatch(region)
    if match is None:
        raise UnfitPathError("the region is full, square, x,y,w,h or pct:x,y,w,h")
    values = [float(text) for text in match.groups()[1:]]
    if match[1]:
        values = [value * side / 100 for value, side in zip(values, (width, height, width, height), strict=True)]
    x, y, w, h = map(round, values)
    w, h = min(w, width - x), min(h, height - y)
    if w < 1 or h < 1:
        raise UnfitPathError("the region lies beyond the picture, or is empty")
    return x, y, w, h


def _parse_size(size: str, w: int, h: int) -> tuple[int, int]:
    """Return the size in pixels; only a size that begins with ``^`` may be larger than the region."""
    if size in ("max", "^max"):
        target = _scaled(w, h, min(1.0, (MOST_PIXELS / (w * h)) ** 0.5))
    else:
        match = _SIZE.fullmatch(size)
        if match is None:
            raise UnfitPathError("the size is max, w, or ,h or w,h or !w,h or pct:n, with ^ before it to enlarge")
        target = _named_size(match, w, h)
        if not match[1] and (target[0] > w or target[1] > h):
            raise UnfitPathError("the size is larger than the region: put ^ before it to enlarge")
    if target[0] * target[1] > MOST_PIXELS:
        raise UnfitPathError(f"the size is more than {MOST_PIXELS} pixels")
    return target


def _named_size(match: re.Match[str], w: int, h: int) -> tuple[int, int]:
    wide, high = (int(match[name]) if match[name] else None for name in ("w", "h"))
    if 0 in (wide, high) or (match["fit"] and (wide is None or high is None)):
        raise UnfitPathError("a size has no side of 0, and !w,h has two")
    if match["pct"]:
        scale = float(match["pct"]) / 100
    elif wide and high and match["fit"]:
        scale = min(wide / w, high / h)
        scale = scale if match[1] else min(scale, 1.0)
    elif wide and high:
        return wide, high
    elif wide or high:
        scale = wide / w if wide else (high or 0) / h
    else:
        raise UnfitPathError("the size names no side")
    return _scaled(w, h, scale)


def _scaled(w: int, h: int, scale: float) -> tuple[int, int]:
    return max(1, round(w * scale)), max(1, round(h * scale))
