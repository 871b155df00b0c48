"""The shipped models, loaded once a process and run by ONNX Runtime on one thread.

ONNX Runtime does not survive a fork: it is imported by ``load_recognizers``, never by importing this module,
so that a prefork parent can import the worker and each child loads its own.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.calibration import UNCALIBRATED, ReadersCalibration, parse_calibration
from worker.errors import ModelFileError
from worker.models.card import ModelCard, read_verified_model
from worker.page_promises import NO_PAGE_PROMISES, PagePromises, parse_page_promises
from worker.values import AlterationWitness, DigitClassifier, GeneralTranscriber, LineTranscriber, Recognizers

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

MODELS_DIR = Path(__file__).parent
DIGITS = "digits.onnx"
LINE_READER = "fields.onnx"
GENERAL = "general.onnx"
ALTERATIONS = "alterations.onnx"
PAGE_PROMISES = "pages.json"

DEFAULT_SUBSTITUTION_RATE = 0.005
BATCH = 130
"""Digits to a run: one page's worth; larger batches are no faster and cost memory (docs/reference/accuracy.md)."""


def load_recognizers(
    models_dir: Path | None = None,
    *,
    calibration: Path | None = None,
    max_substitution_rate: float = DEFAULT_SUBSTITUTION_RATE,
) -> Recognizers:
    """Load and verify the models of a folder (by default the shipped ones); return them as plain functions.

    ``calibration`` is a file of ``icr calibrate`` in place of the line reader's own.

    Raises
    ------
    ModelFileError
        A model is missing, a model's checksum is not the one in its card, or a calibration is none.
    """
    folder = models_dir or MODELS_DIR
    digits, line_reader = _open_session(folder / DIGITS), _open_session(folder / LINE_READER)
    general, alterations = (
        _open_session(folder / name) if (folder / name).exists() else None for name in (GENERAL, ALTERATIONS)
    )
    versions = {m.card.name: m.card.version for m in (digits, line_reader, general, alterations) if m is not None}
    kept = _read_calibration(calibration) if calibration else _calibration_of(line_reader.card)
    promised = kept.promising(max_substitution_rate)
    pages = _read_page_promises(folder / PAGE_PROMISES, versions, promised)
    return Recognizers(
        classify_digits=_make_classifier(digits),
        transcribe_fields=_make_transcriber(line_reader),
        versions=versions,
        calibration=promised,
        transcribe_general=_make_transcriber(general) if general else None,
        page_promises=pages.promising(max_substitution_rate),
        see_alterations=_make_classifier(alterations) if alterations else None,
    )


def verify_models(models_dir: Path | None = None) -> list[ModelCard]:
    """Compare the checksum of every model of a folder with its card, without loading any; return the cards.

    Raises
    ------
    ModelFileError
        One without which nothing is read is missing, or a checksum differs.
    """
    folder = models_dir or MODELS_DIR
    paths = sorted({folder / DIGITS, folder / LINE_READER, *folder.glob("*.onnx")})
    return [read_verified_model(path)[1] for path in paths]


def check_calibration(path: Path) -> None:
    """Read a file of ``icr calibrate``.

    Raises
    ------
    ModelFileError
        It is missing, or no calibration of this version.
    """
    _read_calibration(path)


def _calibration_of(card: ModelCard) -> ReadersCalibration:
    try:
        return parse_calibration(card.calibration) if card.calibration else UNCALIBRATED
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"the card of the model {card.name} holds no calibration of this version") from error


def _read_page_promises(path: Path, versions: dict[str, str], calibration: ReadersCalibration) -> PagePromises:
    if not path.exists():
        return NO_PAGE_PROMISES
    try:
        return parse_page_promises(json.loads(path.read_text(encoding="utf-8")), versions, calibration)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path.name} beside the models holds no page promises of this version") from error


def _read_calibration(path: Path) -> ReadersCalibration:
    try:
        return replace(parse_calibration(json.loads(path.read_text(encoding="utf-8"))), knows_source=True)
    except OSError as error:
        raise ModelFileError(f"cannot read the calibration {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is not a calibration of this version: write it anew with icr calibrate"
        ) from error


class _Model(NamedTuple):
    """A model that ONNX Runtime has loaded, with its card."""

    session: InferenceSession
    card: ModelCard


def _open_session(model_path: Path) -> _Model:
    content, card = read_verified_model(model_path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    try:
        return _Model(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]), card)
    except Exception as error:  # ONNX Runtime raises many kinds; all mean a file that cannot be used
        reason = str(error).splitlines()[0]
        raise ModelFileError(f"ONNX Runtime cannot load {model_path}: {reason}") from error


def _make_classifier(model: _Model) -> DigitClassifier | AlterationWitness:
    session, classes = model.session, len(model.card.classes)
    name, output = session.get_inputs()[0].name, session.get_outputs()[-1].name

    def classify_digits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify (N, H, W) uint8 digits of the model's size; return (N, C) float32, a column for each class."""
        probabilities = np.empty((len(images), classes), np.float32)
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            probabilities[start : start + BATCH] = session.run([output], {name: batch})[0]
        return probabilities

    return classify_digits


def _make_transcriber(model: _Model) -> LineTranscriber | GeneralTranscriber:
    session = model.session
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    def transcribe_lines(images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Transcribe (rows, W_i) uint8 lines; return each one's float32 log-probabilities, the model's axes.

        Neighbours of one width run together, as the views of one field do.
        """
        answers: list[NDArray[np.float32]] = []
        for _, group in itertools.groupby(images, key=lambda image: image.shape):
            answers += list(session.run([output], {name: np.stack(list(group))})[0])
        return answers

    return transcribe_lines
