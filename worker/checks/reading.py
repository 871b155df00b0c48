"""Read a whole check: find it, lay it flat, cut and read its fields, and compare them with limits and each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from schemas.form_template import DigitRange, FieldSpec
from worker.checks.finding import Check, find_checks
from worker.checks.locales import CheckLocale
from worker.checks.micr_fields import agree_on_number, confirm, read_micr_fields
from worker.checks.places import CheckInk, FieldPlace, Zone, find_amount, find_ink, find_line
from worker.checks.policy import CheckPolicy
from worker.decision.confirmation import add_doubt
from worker.decision.fields import AcceptPolicy, decide_field
from worker.doubts import Doubt, DoubtKind
from worker.fields.line_reader.reading import describe_reading
from worker.fields.line_reader.transcription import transcribe
from worker.fields.locating.extraction import bounding_box_px
from worker.values import Box, FieldCrop, FieldReading, FieldStatus, Money, Page, Recognizers, freeze

_MARGIN_SHARE = 0.45
"""Paper kept around a line, in heights of the line."""
_SOMEWHERE = (0, 0, 1, 1)
"""A field's place is found on the check, not in millimetres."""


def specify_fields(locale: CheckLocale) -> dict[str, FieldSpec]:
    """Return what the readers are told of each field of a country's checks."""
    amount, date = (g.model_dump() for g in (locale.amount_grammar, locale.date_grammar))
    date |= {"digits": DigitRange(min=4, max=8)}
    return {
        "amount": FieldSpec(name="amount", box_mm=_SOMEWHERE, optional=False, **amount),
        "date": FieldSpec(name="date", box_mm=_SOMEWHERE, optional=False, **date),
        "number": FieldSpec(name="number", box_mm=_SOMEWHERE, digits=DigitRange(min=3, max=10)),
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Located:
    """The fields of a check as crops by name, and the place of the amount, None where there is none."""

    crops: dict[str, FieldCrop]
    amount: FieldPlace | None


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """A check taken to lie one way up: the check, where its amount stands, and what its fields read, by name."""

    check: Check
    amount: FieldPlace | None
    fields: Mapping[str, FieldReading]

    @property
    def likeness(self) -> float:
        """How sure the fields are of what they read: upside down hardly any number is one."""
        return sum(field.confidence for field in self.fields.values() if field.text)


def read_check(
    page: Page, recognizers: Recognizers, policy: AcceptPolicy, rules: CheckPolicy
) -> tuple[tuple[FieldReading, ...], str | None]:
    """Read the one check on a page; return its fields, or none and what is wrong with the page."""
    checks = find_checks(page.grey)
    if len(checks) != 1:
        return (), f"{len(checks)} checks on one page: cut them apart" if checks else "no check is found on this page"
    specs = specify_fields(rules.locale)
    ways_up = checks[0], checks[0].turned()  # a currency sign or a MICR line seen in the paper's pattern does not tell
    attempts = [_read_one_way(way, specs, recognizers, policy, rules) for way in ways_up]
    best = max(attempts, key=lambda attempt: attempt.likeness)
    amount = best.fields.get("amount") or _missing("amount", _zone_box(best.check, rules.locale.amount_zone))
    date = best.fields.get("date") or _missing("date", _zone_box(best.check, rules.locale.date_zone))
    found = [_judge_amount(amount, best.amount, rules), _judge_date(date, rules)]
    found += [best.fields["number"]] if "number" in best.fields else []
    if rules.locale.has_micr:
        found += read_micr_fields(best.check)
    return agree_on_number(found), None


def _read_one_way(
    check: Check, specs: Mapping[str, FieldSpec], recognizers: Recognizers, policy: AcceptPolicy, rules: CheckPolicy
) -> _Attempt:
    """Read the fields of a check as it lies."""
    located = _locate(check, find_ink(check), rules, specs)
    crops = list(located.crops.values())
    seen = dict(zip(located.crops, transcribe(crops, recognizers) if crops else (), strict=True))
    fields = {
        name: decide_field(specs[name], describe_reading(transcript, recognizers.calibration.free), policy)
        for name, transcript in seen.items()
    }
    return _Attempt(check, located.amount, fields)


def _locate(check: Check, ink: CheckInk, rules: CheckPolicy, specs: Mapping[str, FieldSpec]) -> _Located:
    locale = rules.locale
    places = {"amount": find_amount(ink, locale.amount_zone, locale.sign)}
    for name, zone in (("date", locale.date_zone), ("number", locale.number_zone)):
        line = find_line(ink, zone) if zone else None
        places[name] = FieldPlace(line) if line else None
    crops = {name: cut_line(check, place.box, specs[name]) for name, place in places.items() if place is not None}
    return _Located(crops, places["amount"])


def cut_line(check: Check, line: Box, spec: FieldSpec) -> FieldCrop:
    """Cut a line out of the flat check with some paper around it."""
    height, width = check.grey.shape
    margin = _MARGIN_SHARE * line.h
    left, top = max(0, int(line.x - margin)), max(0, int(line.y - margin))
    right, bottom = min(width, int(line.x + line.w + margin)), min(height, int(line.y + line.h + margin))
    shift = np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1.0]])
    grey = freeze(np.ascontiguousarray(check.grey[top:bottom, left:right]))
    return FieldCrop(spec, grey, bounding_box_px(line, check.page_from_check), check.page_from_check @ shift)


def _zone_box(check: Check, zone: Zone) -> Box:
    height, width = check.grey.shape
    size = (zone.right - zone.left) * width, (zone.bottom - zone.top) * height
    return bounding_box_px(Box(zone.left * width, zone.top * height, *size), check.page_from_check)


def _missing(name: str, box: Box) -> FieldReading:
    doubt = Doubt(DoubtKind.FIELD_NOT_FOUND, subject=name)
    return FieldReading(name, "", 0.0, FieldStatus.REVIEW, box, doubts=(doubt,))


def _judge_amount(field: FieldReading, place: FieldPlace | None, rules: CheckPolicy) -> FieldReading:
    """Hold an amount to its limits and its currency sign; its grammar was held by the decision."""
    amount = field.value
    if place is None or not isinstance(amount, Money):
        return field
    field = replace(field, validation_sources=("reader", f"grammar {rules.locale.country}"))
    if place.other_sign:
        field = add_doubt(field, Doubt(DoubtKind.OTHER_CURRENCY, readings=(place.other_sign, rules.locale.sign)))
    elif place.by_sign:
        field = replace(field, validation_sources=(*field.validation_sources, "currency sign"))
    else:
        field = add_doubt(field, Doubt(DoubtKind.NO_CURRENCY_SIGN))
    broken = rules.broken_by_amount(amount)
    if broken:
        return add_doubt(field, Doubt(DoubtKind.LIMIT_BROKEN, subject="limits", explanation=broken))
    return confirm(field, "limits")


def _judge_date(field: FieldReading, rules: CheckPolicy) -> FieldReading:
    """Hold a date to the window; a date in words has no value, and is for a person."""
    date = field.value
    if not isinstance(date, dt.date):
        return field
    field = replace(field, validation_sources=("reader", f"grammar {rules.locale.country}"))
    broken = rules.broken_by_date(date)
    if broken:
        return add_doubt(field, Doubt(DoubtKind.LIMIT_BROKEN, subject="window", explanation=broken))
    return confirm(field, "window")
