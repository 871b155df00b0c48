"""The evaluation of field readers as one HTML file: measures, risk curves, the worst fields."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worker.doubts import describe_doubt
from worker.training.fields.measures import SUBSTITUTION_RATES, FieldMeasures, Scored, risk_coverage
from worker.training.fields.truth import LabelledField
from worker.values import RawReading

mpl.use("Agg")

WORST = 40
CELL_HEIGHT = 90

STYLE = """body{font:15px sans-serif;margin:2em;color:#222}td,th{padding:.3em .8em;text-align:right}
th:first-child,td:first-child{text-align:left}figure{display:inline-block;margin:.5em}figcaption{font-size:13px}"""

Read = tuple[LabelledField, Scored, RawReading]


def write_field_report(measures: Sequence[FieldMeasures], reads: Sequence[Read], path: Path) -> None:
    """Write the report; only fields whose failures may be looked at are drawn."""
    head = "<tr><th>set</th><th>half</th><th>fields</th><th>whole</th><th>digit errors</th>"
    head += "".join(f"<th>read at {rate:.1%}</th>" for rate in SUBSTITUTION_RATES) + "<th>ECE</th></tr>"
    rows = "".join(_row(m) for m in measures)
    worst = "".join(_figure(labelled, scored, read) for labelled, scored, read in _worst(reads))
    page = (
        f"<!doctype html><meta charset='utf-8'><title>Fields</title><style>{STYLE}</style><h1>Fields</h1>"
        f"<table>{head}{rows}</table><h2>Risk against coverage</h2>"
        f"<img src='data:image/png;base64,{_draw_curves([s for _, s, _ in reads])}'>"
        f"<h2>Worst fields: wrong and sure, first</h2>{worst or '<p>None.</p>'}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _row(m: FieldMeasures) -> str:
    cells = [html.escape(m.source), m.half, f"{m.fields}", f"{m.whole:.1%}", f"{m.digit_error_rate:.1%}"]
    cells += [f"{rate:.1%}" for rate in m.read_rates] + [f"{m.ece:.1%}"]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _worst(reads: Sequence[Read]) -> list[Read]:
    wrong = [r for r in reads if not r[1].correct and r[0].development]
    return sorted(wrong, key=lambda r: -r[1].confidence)[:WORST]


def _draw_curves(scored: Sequence[Scored]) -> str:
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    for source in sorted({s.source for s in scored}):
        own = [s for s in scored if s.source == source]
        coverage, risk = risk_coverage(np.array([s.confidence for s in own]), np.array([s.correct for s in own]))
        axes.step(coverage, risk, where="post", label=f"{source} ({len(own)})")
    axes.set(xlabel="read rate", ylabel="substitution rate", ylim=(0, 0.2), xlim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(target.getvalue()).decode("ascii")


def _figure(labelled: LabelledField, scored: Scored, read: RawReading) -> str:
    picture = _draw_cuts(labelled, read)
    encoded = base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode("ascii")
    others = " / ".join(f"{a.text} {a.confidence:.2f}" for a in read.alternatives)
    caption = f"{scored.source}: {scored.truth} read {scored.text} at {scored.confidence:.3f}; {others}"
    doubts = "; ".join(map(describe_doubt, read.doubts))
    return (
        f"<figure><img src='data:image/png;base64,{encoded}'>"
        f"<figcaption>{html.escape(caption)}<br>{html.escape(doubts)}</figcaption></figure>"
    )


def _draw_cuts(labelled: LabelledField, read: RawReading) -> NDArray[np.uint8]:
    """Return the crop in colour with each digit's box, ``CELL_HEIGHT`` rows high."""
    crop = labelled.crop
    scale = CELL_HEIGHT / crop.grey.shape[0]
    colour = cv2.cvtColor(cv2.resize(crop.grey, None, fx=scale, fy=scale), cv2.COLOR_GRAY2BGR)
    crop_from_page = np.linalg.inv(crop.page_from_crop)
    for digit in read.digits:
        x, y, w, h = digit.box_px
        corners = cv2.perspectiveTransform(np.array([[[x, y], [x + w, y + h]]], np.float64), crop_from_page)[0]
        (x0, y0), (x1, y1) = (corners * scale).round().astype(int)
        cv2.rectangle(colour, (int(x0), int(y0)), (int(x1), int(y1)), (40, 40, 220), 1)
    return np.asarray(colour, np.uint8)
