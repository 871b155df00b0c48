"""What a form template holds: the page, its print, and the fields to read, in millimetres from the top left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from schemas.mistakes import JsonPath
from schemas.rules import DateRule, FieldRule, FormRule, expand_patterns, fields_named

Millimetres = Annotated[float, Field(ge=0, le=5000)]
BoxMm = tuple[Millimetres, Millimetres, PositiveFloat, PositiveFloat]
"""(x, y, w, h) in millimetres, origin at the page's top left."""

OVERLAP_ALLOWED_MM = 0.5
"""Neighbouring cells share a printed line; boxes deeper in each other than its width are a mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class DigitRange(_Strict):
    """How many digits a field may hold."""

    min: PositiveInt
    max: PositiveInt

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


FieldKind = Literal["code", "number", "amount", "date", "time", "mark", "text"]
"""What a field holds: digits that name something, a number, money, a date, a time of day, a tick, or words."""

DateOrder = Literal["DMY", "MDY", "YMD"]
"""The order of day, month and year."""

_KEYS_OF_KINDS: dict[str, tuple[FieldKind, ...]] = {
    "decimals": ("number", "amount"),
    "signed": ("number", "amount"),
    "separator": ("number", "amount"),
    "unit": ("number",),
    "currency": ("amount",),
    "cents": ("number", "amount"),
    "filled": ("code", "number", "amount"),
    "verify_from": ("number", "amount"),
    "order": ("date",),
}
"""The keys that only fields of some kinds may have."""
_MINOR_DIGITS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Digits of the minor unit of the currencies that have not two (ISO 4217)."""


class FieldGrammar(_Strict):
    """What may be written in a field, and what it means.

    ``code`` is digits that name something: leading zeros count, and any mark is a doubt. ``number`` is a quantity
    with up to ``decimals`` places, below nothing only if ``signed``, perhaps with a ``unit`` behind it. ``amount``
    is money in ``currency`` (ISO 4217). ``cents`` says of the decimals of both whether they must be written, may be
    left out, or are the last digits without a mark (``implied``). ``separator`` is the decimal mark; where it is
    ``either``, the lengths of the groups tell. What is ``filled`` has lines, signs or crossed cells on both sides
    that only fill its space, as on checks and tally sheets. ``date`` and ``time`` follow ``order`` and the 24
    hours. ``mark`` is a tick box, and ``text`` is never read. ``digits`` is the number of digits that are written,
    or a range; None leaves it open. With ``verify`` ``double`` no field is accepted unseen: two keyers must agree,
    the machine being the first where it is sure. With ``verify_from`` that holds for values from there on only,
    whatever their sign; amounts in minor units. ``rules`` are checks of the value (``schemas.rules``).
    """

    kind: FieldKind = "code"
    digits: PositiveInt | DigitRange | None = None
    decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    signed: bool = False
    separator: Literal[",", ".", "either"] = "either"
    unit: Annotated[str, Field(max_length=12)] = ""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    cents: Literal["required", "optional", "implied"] = "required"
    filled: bool = False
    order: DateOrder | None = None
    verify: Literal["single", "double"] = "single"
    verify_from: Annotated[int | Decimal, Field(gt=0)] | None = None
    rules: tuple[FieldRule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _date_rule_makes_a_date(cls, given: Any) -> Any:
        """Take a field that has a date rule and names no kind for a date."""
        rules = given.get("rules") if isinstance(given, dict) and "kind" not in given else ()
        rules = rules if isinstance(rules, list | tuple) else ()
        dated = any((r.get("rule") if isinstance(r, dict) else getattr(r, "rule", None)) == "date" for r in rules)
        return {**given, "kind": "date"} if dated else given

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> Self:
        for key, kinds in _KEYS_OF_KINDS.items():
            if self.kind not in kinds and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"'{key}' needs " + " or ".join(f'"kind": "{kind}"' for kind in kinds))
        if self.verify_from is not None and self.verify != "double":
            raise ValueError('\'verify_from\' needs "verify": "double"')
        if self.kind in ("mark", "text") and (self.digits is not None or self.rules):
            raise ValueError(f"a field of kind \"{self.kind}\" has no 'digits' and no 'rules'")
        return self

    @property
    def decimal_places(self) -> int:
        """The decimals of a number; of an amount, those of its currency unless the template says."""
        if self.decimals is not None:
            return self.decimals
        return _MINOR_DIGITS.get(self.currency, 2) if self.currency else 0

    @property
    def date_order(self) -> DateOrder | None:
        """The order of a date's parts: of its date rule, else as it is said; None where nobody says."""
        formats = [rule.format for rule in self.rules if isinstance(rule, DateRule)]
        return _ORDERS[formats[0][0]] if formats else self.order


_ORDERS: dict[str, DateOrder] = {"D": "DMY", "M": "MDY", "Y": "YMD"}


class _FieldPlace(_Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
    box_mm: BoxMm
    layout: Literal["free", "cells"] = "free"
    cells: PositiveInt | None = None


class FieldSpec(FieldGrammar, _FieldPlace):
    """One field of a form: where it lies and what may be written in it.

    ``layout`` is ``cells`` for one printed cell a digit (``cells`` of them, left to right) or ``free`` for a box
    or a line. ``print`` is a picture of what is printed inside the box of a blank form, which is taken out before
    reading: a 1-bit PNG of the box at 8 pixels a millimetre, as base64, written by ``icr template draft``. An
    ``optional`` field may be left empty without a person asking.
    """

    label: str = ""
    optional: bool = True
    print: Annotated[str, Field(max_length=20_000, pattern=r"^[A-Za-z0-9+/]+=*$")] | None = None

    @model_validator(mode="after")
    def _cells_are_counted(self) -> Self:
        if self.layout == "cells" and self.cells is None:
            raise ValueError("a field laid out in cells must say how many: add 'cells'")
        if self.layout == "free" and self.cells is not None:
            raise ValueError('\'cells\' needs "layout": "cells"')
        if self.layout == "cells" and self.kind in ("mark", "text"):
            raise ValueError(f'a field of kind "{self.kind}" is "free": one box, not a row of cells')
        return self

    @property
    def grammar(self) -> FieldGrammar:
        """What may be written in the field, apart from its place: in cells, decimals are told by their place."""
        held = {name: getattr(self, name) for name in FieldGrammar.model_fields}
        if self.layout == "cells" and self.decimal_places and self.cents == "required":
            held["cents"] = "implied"
        return FieldGrammar.model_validate(held)

    @property
    def digit_range(self) -> tuple[int, int | None]:
        """The least and the most digits a full field holds; None where the most is open."""
        if self.digits is None:
            return 1, self.cells
        if isinstance(self.digits, int):
            return self.digits, self.digits
        return self.digits.min, self.digits.max


class Landmark(_Strict):
    """What is printed on the blank form and looked for by registration.

    A box, a line (of tiny width or height), a solid blob, a solid ``corner_mark`` that was printed to be found by, or
    an ``aruco`` marker of a ``dictionary`` with its ``number``, printed upright, its box that of its black border.
    """

    kind: Literal["box", "line", "blob", "corner_mark", "aruco"]
    box_mm: BoxMm
    number: Annotated[int, Field(ge=0, le=1023)] | None = None
    dictionary: Literal["4x4_50", "5x5_100", "6x6_250", "original"] = "4x4_50"

    @model_validator(mode="after")
    def _markers_are_numbered(self) -> Self:
        if (self.kind == "aruco") != (self.number is not None):
            raise ValueError("an \"aruco\" landmark, and only that, has a 'number'")
        most = {"4x4_50": 49, "5x5_100": 99, "6x6_250": 249, "original": 1023}[self.dictionary]
        if self.number is not None and self.number > most:
            raise ValueError(f"number {self.number} is not in the dictionary {self.dictionary} (0 to {most})")
        return self


def overlap_mm(a: BoxMm, b: BoxMm) -> float:
    """Return how deep two boxes lie in each other: the shorter side of what they share, in mm."""
    return min(min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]) for i in (0, 1))


def _mistake_at(path: JsonPath, message: str) -> PydanticCustomError:
    """Return the error of a check of the whole template; ``path`` in its context leads to the mistake."""
    return PydanticCustomError("contradiction", "{message}", {"message": message, "path": path})


def _refuse_off_page(path: JsonPath, what: str, box: BoxMm, page_mm: tuple[float, float]) -> None:
    if box[0] + box[2] > page_mm[0] or box[1] + box[3] > page_mm[1]:
        said = f"{what}: box {list(box)} mm lies off the page of {page_mm[0]} x {page_mm[1]} mm"
        raise _mistake_at(path, said)


FORMLESS = ("field", "free", "check")
"""What pages without a form are called wherever a template's name may stand: no template may have these names."""


def _refuse_formless(name: str) -> str:
    if name in FORMLESS:
        raise PydanticCustomError(
            "reserved_name", "'{name}' names pages without a form: choose another name", {"name": name}
        )
    return name


TemplateName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", json_schema_extra={"not": {"enum": list(FORMLESS)}}),
    AfterValidator(_refuse_formless),
]


class RepeatedRows(_Strict):
    """Fields that repeat down the page, as the rows of a table do.

    ``fields`` are those of the first row. Row i of ``count`` lies ``(i - 1) * pitch_mm`` lower, and its fields are
    called ``row1.amount``, ``row2.amount``... with ``name`` in place of ``row``.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,30}$")] = "row"
    count: Annotated[int, Field(ge=2, le=200)]
    pitch_mm: PositiveFloat
    fields: Annotated[tuple[FieldSpec, ...], Field(min_length=1)]

    def unrolled(self) -> Iterator[FieldSpec]:
        """Yield the fields of all rows, row by row."""
        for i in range(self.count):
            for field in self.fields:
                x, y, w, h = field.box_mm
                box_mm = (x, round(y + i * self.pitch_mm, 3), w, h)
                yield field.model_copy(update={"name": f"{self.name}{i + 1}.{field.name}", "box_mm": box_mm})


class FormTemplate(_Strict):
    """A form, or one page of a form of several: its page size, its printed landmarks and its fields.

    The pages of one form are templates that name the same ``form``; each has a ``page`` number of its own, and a page
    that is only to be known may have no fields. ``reference`` is a picture of the page, beside the template's file,
    whose print is looked for in place of ``landmarks``: ``worker.forms.templates`` puts it there. In JSON the single
    fields and the rules stand under ``fields`` and ``rules``; these attributes hold the ``rows`` field by field, too.
    """

    name: TemplateName
    title: str = ""
    form: TemplateName | None = None
    page: PositiveInt | None = None
    page_mm: tuple[PositiveFloat, PositiveFloat]
    single_fields: tuple[FieldSpec, ...] = Field(alias="fields")
    rows: tuple[RepeatedRows, ...] = ()
    landmarks: tuple[Landmark, ...] = ()
    reference: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    min_registration: Annotated[float, Field(ge=0, le=1)] = 0.5
    written_rules: tuple[FormRule, ...] = Field(default=(), alias="rules")

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """All fields, those of repeated rows included."""
        return tuple(field for _, field in self.iter_placed_fields())

    def iter_placed_fields(self) -> Iterator[tuple[JsonPath, FieldSpec]]:
        """Yield all fields, each with the place in the JSON where it is written."""
        for i, field in enumerate(self.single_fields):
            yield ("fields", i), field
        for i, rows in enumerate(self.rows):
            for j, field in enumerate(rows.unrolled()):
                yield ("rows", i, "fields", j % len(rows.fields)), field

    @property
    def rules(self) -> tuple[FormRule, ...]:
        """All rules across fields, the patterns in them replaced by the names that they match."""
        names = [field.name for field in self.fields]
        return tuple(expand_patterns(rule, names) for rule in self.written_rules)

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if (self.form is None) != (self.page is None):
            there = "form" if self.page is None else "page"
            raise _mistake_at((there,), "'form' and 'page' belong together: a page of a form of several")
        if not self.fields and self.form is None:
            raise _mistake_at(("fields",), "there are no fields: only a page of a 'form' of several may have none")
        places: dict[str, JsonPath] = {}
        for path, f in self.iter_placed_fields():
            if f.name in places:
                raise _mistake_at(path, f"field names must differ: {f.name}")
            places[f.name] = path
            _refuse_off_page(path, f"field {f.name}", f.box_mm, self.page_mm)
        markers: set[tuple[str, int]] = set()
        for i, mark in enumerate(self.landmarks):
            _refuse_off_page(("landmarks", i), f"landmark {i}", mark.box_mm, self.page_mm)
            if mark.number is not None and (mark.dictionary, mark.number) in markers:
                raise _mistake_at(("landmarks", i), f"landmark {i}: marker {mark.number} is on the page already")
            if mark.number is not None:
                markers.add((mark.dictionary, mark.number))
        if self.reference is not None and self.landmarks:
            said = "'reference' and 'landmarks' exclude each other: the picture's print is looked for"
            raise _mistake_at(("reference",), said)
        for a, b in combinations(self.fields, 2):
            if overlap_mm(a.box_mm, b.box_mm) > OVERLAP_ALLOWED_MM:
                raise _mistake_at(places[b.name], f"field {b.name}: its box overlaps that of field {a.name}")
        texts = {f.name for f in self.fields if f.kind == "text"}
        for i, written in enumerate(self.written_rules):
            try:
                rule = expand_patterns(written, list(places))
            except ValueError as error:
                raise _mistake_at(("rules", i), f"rule {i}: {error}") from error
            unknown = [n for n in fields_named(rule) if n not in places]
            wordy = [n for n in fields_named(rule) if n in texts]
            if wordy:
                raise _mistake_at(("rules", i), f"rule {i}: speaks of text, which is never read: {', '.join(wordy)}")
            if unknown:
                said = f"rule {i}: speaks of fields that are not there: {', '.join(unknown)}"
                raise _mistake_at(("rules", i), said)
        return self

    @property
    def version(self) -> str:
        """A short hash of the template's meaning: the same content has the same version everywhere."""
        meaning = self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        canonical = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]
