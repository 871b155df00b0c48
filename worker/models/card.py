"""The model card beside each ``.onnx``: what the model is, what made it, how good it is, and its checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.mistakes import say_mistakes
from worker.errors import ModelFileError


class DataSetEntry(BaseModel):
    """One set that a model was trained, calibrated or chosen on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    samples: int
    used_for: str
    licence: str


class ModelCard(BaseModel):
    """All that a model file says about itself; ``sha256`` is of the ``.onnx`` beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str
    version: str
    sha256: str
    created: str
    description: str
    classes: list[str]
    input: str
    output: str
    training: list[DataSetEntry] = []
    calibration: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    notes: str = ""


def card_path(model_path: Path) -> Path:
    """Return where the card of a model file lies: the same name with ``.json``."""
    return model_path.with_suffix(".json")


def read_verified_model(model_path: Path) -> tuple[bytes, ModelCard]:
    """Read a model and its card, and refuse a model whose bytes are not the ones the card names.

    Raises
    ------
    ModelFileError
        A file is missing, the card is not a model card, or the checksum differs; it names both checksums.
    """
    card = read_card(card_path(model_path))
    try:
        content = model_path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read the model {model_path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise ModelFileError(
            f"{model_path} is not the model of its card: expected sha256 {card.sha256}, found {found}; "
            "restore the file, or install the package anew"
        )
    return content, card


def read_card(path: Path) -> ModelCard:
    """Read one model card; raise ``ModelFileError`` where it is missing or not one."""
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(f"cannot read the model card {path}: {error.strerror}") from error
    except ValidationError as error:
        raise ModelFileError(f"{path} is not a model card: {say_mistakes(error)}") from error


def write_model(model_path: Path, content: bytes, card: ModelCard) -> ModelCard:
    """Write a model and its card, the card carrying the model's checksum; return that card."""
    signed = card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    model_path.parent.mkdir(parents=True, exist_ok=True)
    model_path.write_bytes(content)
    card_path(model_path).write_text(signed.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return signed
