"""The evaluation as one HTML file that holds its figures, so that it can be opened and sent anywhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from pathlib import Path
from string import Template

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

from worker.training.evaluation import Evaluation

mpl.use("Agg")

GALLERY = 60
"""Misread and doubted images shown, most confident mistakes and least confident answers first."""

BINS = 15


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the report: scores by class, confusion, misread images, reliability, risk, doubts."""
    template = Template((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.substitute(_fields(evaluation)), encoding="utf-8")


def _fields(evaluation: Evaluation) -> dict[str, str]:
    error = evaluation.calibration_error
    folds = ", ".join(f"{score:.4f}" for score in evaluation.folds) or "not asked for"
    drawings: dict[str, Callable[[Evaluation], Figure]] = {
        "confusion": draw_confusion,
        "misread": draw_misread,
        "reliability": draw_reliability,
        "risk_coverage": draw_risk_coverage,
        "doubted": draw_doubted,
    }
    return {
        "title": html.escape(evaluation.title),
        "count": f"{len(evaluation.labels):,}",
        "accuracy": f"{100 * evaluation.accuracy:.2f} %",
        "ece": "the model gives scores, not probabilities" if error is None else f"{100 * error:.2f} %",
        "folds": folds,
        "classes": "".join(_row(*row) for row in evaluation.per_class()),
        **{name: _inline(draw(evaluation)) for name, draw in drawings.items()},
    }


def _row(name: str, precision: float, recall: float, f1: float, count: int) -> str:
    cells = (html.escape(name), f"{precision:.4f}", f"{recall:.4f}", f"{f1:.4f}", f"{count:,}")
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"


def _inline(figure: Figure) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=90, bbox_inches="tight")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Draw the confusion matrix as a heat map, with a white diagonal so that mistakes show."""
    counts = evaluation.confusion()
    figure = Figure(figsize=(7, 6))
    axes = figure.subplots()
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    names = list(evaluation.names)
    sns.heatmap(wrong, annot=counts, fmt="d", cmap="Reds", cbar=False, ax=axes, xticklabels=names, yticklabels=names)
    axes.set(xlabel="answer", ylabel="truth")
    return figure


def draw_misread(evaluation: Evaluation) -> Figure:
    """Draw the misread images, the most confident mistakes first, with truth and answer."""
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    order = np.argsort(-evaluation.probabilities[wrong].max(1))
    return _draw_gallery(evaluation, wrong[order][:GALLERY])


def draw_doubted(evaluation: Evaluation) -> Figure:
    """Draw the images that the model doubts most, right or wrong."""
    return _draw_gallery(evaluation, np.argsort(evaluation.probabilities.max(1))[:GALLERY])


def _draw_gallery(evaluation: Evaluation, chosen: NDArray[np.intp]) -> Figure:
    columns = 10
    rows = max(1, -(-len(chosen) // columns))
    figure = Figure(figsize=(columns, 1.25 * rows))
    for axes in (every := figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.axis("off")
    for axes, index in zip(every, chosen, strict=False):
        truth = evaluation.names[evaluation.labels[index]]
        answer = evaluation.names[evaluation.predictions[index]]
        axes.imshow(255 - evaluation.images[index], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{truth} → {answer}\n{evaluation.probabilities[index].max():.3f}", fontsize=7)
    return figure


def draw_reliability(evaluation: Evaluation) -> Figure:
    """Draw how often answers of each confidence are right; a calibrated model lies on the diagonal."""
    confidence = evaluation.probabilities.max(1)
    right = evaluation.predictions == evaluation.labels
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = [b for b in range(BINS) if (which == b).any()]
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([confidence[which == b].mean() for b in filled], [right[which == b].mean() for b in filled], "o-")
    axes.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
    return figure


def draw_risk_coverage(evaluation: Evaluation) -> Figure:
    """Draw the error among accepted answers over the share accepted, most confident first."""
    order = np.argsort(-evaluation.probabilities.max(1))
    wrong = (evaluation.predictions != evaluation.labels)[order]
    accepted = np.arange(1, len(wrong) + 1)
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot(accepted / len(wrong), 100 * np.cumsum(wrong) / accepted)
    axes.set(xlabel="share accepted", ylabel="% wrong among the accepted", xlim=(0, 1), ylim=(0, None))
    return figure
