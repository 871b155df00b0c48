"""What a page may be: a page of a form, a bank check, the crop of one field, or free writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.form_template import FieldGrammar, FormTemplate
from worker.values import CODE, FormPages

if TYPE_CHECKING:  # it loads OpenCV, which whoever only names a template does not need
    from worker.checks.policy import CheckPolicy


@dataclass(frozen=True, slots=True)
class CheckPage:
    """A bank check, or several on one page, read by a country's policy."""

    policy: CheckPolicy


@dataclass(frozen=True, slots=True)
class LoneField:
    """The crop of one field, and what may be written in it."""

    grammar: FieldGrammar = CODE


@dataclass(frozen=True, slots=True)
class FreePage:
    """Free writing on a page without a form."""


@dataclass(frozen=True, slots=True)
class PlacedForm:
    """A page of a form on which a person has shown where the form lies.

    ``corners_px`` are where the corners of ``box_mm`` of the template lie on the page, clockwise from the top left.
    """

    template: FormTemplate
    box_mm: tuple[float, float, float, float]
    corners_px: tuple[tuple[float, float], ...]


PageKind = FormPages | CheckPage | LoneField | FreePage | PlacedForm
