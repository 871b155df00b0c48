"""Find form templates on a page by the forms' own print, and tell which of them it is.

There are three steps. ``seeding`` guesses places by the printed boxes and rules. ``refinement`` brings every printed
line of the template onto the page's ink and counts how much is there. The result is judged here: a place is only as
good as its lead over every other place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from schemas.form_template import FormTemplate
from worker.imaging.geometry import Array, corners_of, project
from worker.registration.fiducials import add_markers
from worker.registration.form_print import FormPrint, detect_print
from worker.registration.landmarks import Landmarks, landmark_arrays
from worker.registration.refinement import HOPELESS, Fit, refine
from worker.registration.seeding import Guess, guess_places
from worker.registration.shifts import find_half_turn, find_shifts, shifted
from worker.values import FormPages, Page, Registration

RIVAL_MARGIN = 0.15
"""A second place, or a second form, whose quality is within this margin makes the first one doubtful."""
RIVAL_SHARE = 0.5
"""A place, or a form, with less than this share of the best one's agreeing shapes is not refined."""
SURE = 0.9
"""If a form is found with this quality, others with half as many agreeing shapes are not tried."""
IDENTIFIED = 0.6
"""Least quality of a page whose form nobody named: of twelve forms, pages of other kinds reached 0.51, pages of the
forms 0.8 (docs/reference/accuracy.md)."""
NEARLY_WHOLE = 0.9
"""A fit of this quality finds the form's print but for what shadow and paper hide: what a rival does not find is not
all hidden. A page drafted from its own photo reaches 0.93 (the boxes of a draft are upright)."""
MOST_EXTRA = 0.25
"""Print that only the rival finds, as a share of what only the best place finds; a refuted rival has nearly none."""
LEAST_MISSING_MM = 100.0
"""Printed line that a rival place must miss to be refuted: a table's row has more, one cell of a lone row has less."""
MOST_STRETCH, MOST_LEAN = 1.5, 2.2
"""A sheet photographed at 40 degrees is shortened by 1.3 in one direction and has twice the scale at its near edge."""
SAME_PLACE = 0.02
"""Two fits whose corners differ by less than this share of the form's longer side are one."""
MOST_STEPS = 60
"""Rows by which a first fit of a table may be wrong; the largest tables have about so many."""
NEAR_A_ROW = 0.25
"""Share of a row within which two places are one; a fit that slid to nothing in particular lies further off."""

MOST_MOVED_MM = 5.0
"""A person places a corner within some millimetres; a fit that moves one farther has found other print, as the next row
of a table."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundForm:
    """Which form a page is and where it lies; if that is uncertain, ``template`` is None and ``problem`` says why."""

    template: FormTemplate | None
    registration: Registration | None
    problem: str | None = None


def register_page(page: Page, template: FormTemplate) -> Registration:
    """Return where ``template`` lies on ``page``, with a quality in [0, 1].

    Quality is the share of the template's print that is found within 0.6 mm of its place. It is lowered if another
    place explains the page nearly as well; a place that needs a table's row where none is printed does not. 0 means
    that nothing fitted; compare with ``min_registration``.
    """
    form_print = add_markers(detect_print(page.grey), page.grey, [template])
    marks = landmark_arrays(template.landmarks)
    return _register(form_print, template, marks, guess_places(form_print, marks, template.page_mm))


def register_by_corners(
    page: Page, template: FormTemplate, *, box_mm: Sequence[float], corners_px: Sequence[tuple[float, float]]
) -> Registration:
    """Return where ``template`` lies by the corners (4, 2) px of ``box_mm`` that a person has placed on ``page``.

    They are taken as a guess and brought onto the print; how much of it is found around a field says how well the field
    lies. Where too little is found, the corners count as they are, with quality 0: no field is then accepted without a
    person.
    """
    mm: Array = corners_of(np.array([box_mm], dtype=np.float64))[0]
    px: Array = np.array(corners_px, dtype=np.float64)
    placed: Array = cv2.getPerspectiveTransform(mm.astype(np.float32), px.astype(np.float32)).astype(np.float64)
    form_print = add_markers(detect_print(page.grey), page.grey, [template])
    marks = landmark_arrays(template.landmarks)
    from_reduced = _page_from_reduced(form_print.reduction)
    fit = refine(_inverse(from_reduced) @ placed, form_print, marks)
    refined: Array = from_reduced @ fit.homography
    if (
        fit.quality < HOPELESS
        or not is_plausible(refined, mm)
        or np.hypot(*(project(_inverse(refined), px) - mm).T).max() > MOST_MOVED_MM
    ):
        return Registration(template.name, template.version, placed, 0.0)
    return Registration(template.name, template.version, refined, round(fit.quality, 4), marks.middle, fit.found)


def identify_form(page: Page, sought: FormPages) -> FoundForm:
    """Find which of the templates ``sought`` a page is, and register it; an uncertain page is refused.

    For a named form, find which of its pages this is. A page that fits another form better is reported as that form.
    """
    form_print = add_markers(detect_print(page.grey), page.grey, (*sought.pages, *sought.others))
    if sought.form is None:
        return _identify(form_print, sought.pages, least=IDENTIFIED)
    found = _identify(form_print, sought.pages, f"no page of {sought.form}")
    quality = found.registration.quality if found.registration else 0.0
    if quality > SURE or not sought.others:
        return found
    other = _identify(form_print, sought.others)
    if other.template is None or other.registration is None or other.registration.quality < quality + RIVAL_MARGIN:
        return found
    which = other.template.form or other.template.name
    said = f"unregistered: not {sought.form}, but a page of {which} (registration {other.registration.quality:.2f})"
    return FoundForm(None, found.registration, said)


def _identify(
    form_print: FormPrint, templates: Sequence[FormTemplate], none: str = "no known form", *, least: float = 0.0
) -> FoundForm:
    found = _register_likely(form_print, templates)
    if not found:
        return FoundForm(None, None, "unregistered: no form template is known")
    found.sort(key=lambda pair: -pair[0].quality)
    registration, template = found[0]
    needed = max(template.min_registration, least)
    if registration.quality < needed:
        said = f"registration {registration.quality:.2f}, {needed:.2f} needed"
        which = template.name if len(templates) == 1 else f"{none}, the likest is {template.name}"
        return FoundForm(None, registration, f"unregistered: {which} ({said})")
    rivals = [t.name for r, t in found[1:] if r.quality > registration.quality - RIVAL_MARGIN]
    if rivals:
        problem = f"unregistered: could be {template.name} or {rivals[0]}: name the template"
        return FoundForm(None, registration, problem)
    return FoundForm(template, registration)


def _register_likely(
    form_print: FormPrint, templates: Sequence[FormTemplate]
) -> list[tuple[Registration, FormTemplate]]:
    """Register the templates, the most promising first; once one is certain, only those as promising as it."""
    ranked = []
    for template in templates:
        marks = landmark_arrays(template.landmarks)
        guesses = guess_places(form_print, marks, template.page_mm)
        promise = guesses[0].agreeing / len(template.landmarks) if guesses else 0.0
        ranked.append((promise, template, marks, guesses))
    ranked.sort(key=lambda entry: -entry[0])
    found: list[tuple[Registration, FormTemplate]] = []
    sure_promise = 0.0
    for promise, template, marks, guesses in ranked:
        if promise < RIVAL_SHARE * sure_promise:
            break
        registration = _register(form_print, template, marks, guesses)
        found.append((registration, template))
        if registration.quality > SURE and not sure_promise:
            sure_promise = promise
    return found


def _register(
    form_print: FormPrint, template: FormTemplate, marks: Landmarks, guesses: Sequence[Guess]
) -> Registration:
    fits = _distinct_fits(form_print, template, marks, guesses)
    if not fits:
        return Registration(template.name, template.version, np.eye(3), 0.0)
    best = fits[0]
    rivals = [fit.quality for fit in fits[1:] if not _is_refuted(fit, best, marks)]
    lead = best.quality - max(rivals, default=0.0)
    quality = round(best.quality * min(1.0, lead / RIVAL_MARGIN), 4)
    page_from_mm = _page_from_reduced(form_print.reduction) @ best.homography
    return Registration(template.name, template.version, page_from_mm, quality, marks.middle, best.found)


def _is_refuted(rival: Fit, best: Fit, marks: Landmarks) -> bool:
    """Tell whether a rival is a table's own place shifted by a row or more: it needs whole rows that are not printed.

    The share of a table's print that such a place finds grows with the number of rows, so the share says too little.
    """
    missing = float(marks.weight[best.found & ~rival.found & ~rival.off_page].sum())
    extra = float(marks.weight[rival.found & ~best.found].sum())
    return best.quality >= NEARLY_WHOLE and missing >= LEAST_MISSING_MM and extra <= MOST_EXTRA * missing


def _inverse(homography: Array) -> Array:
    return np.asarray(np.linalg.inv(homography), dtype=np.float64)


def _page_from_reduced(reduction: int) -> Array:
    """Return the map of pixel centres: reduced pixel i covers the page's pixels i*r to i*r + r - 1."""
    shift = (reduction - 1) / 2
    return np.array([[reduction, 0, shift], [0, reduction, shift], [0, 0, 1]], dtype=np.float64)


def _distinct_fits(
    form_print: FormPrint, template: FormTemplate, marks: Landmarks, guesses: Sequence[Guess]
) -> list[Fit]:
    """Return refined fits, the best first, one for each place where the form may lie."""
    corners = _printed_corners(template)
    fits: list[Fit] = []
    seen: list[Array] = []
    for guess in guesses:
        if guess.agreeing < RIVAL_SHARE * guesses[0].agreeing:
            break
        if _is_known(project(guess.homography, corners), seen):
            continue
        fit = refine(guess.homography, form_print, marks)
        if not is_plausible(fit.homography, corners):
            continue
        place = project(fit.homography, corners)
        if not _is_known(place, seen):
            fits.append(fit)
            seen.append(place)
    return _climb(form_print, marks, corners, sorted(fits, key=lambda fit: -fit.quality)) if fits else []


def _climb(form_print: FormPrint, marks: Landmarks, corners: Array, fits: list[Fit]) -> list[Fit]:
    """Add the places a row or a column beside the best fit, and beside a better one found there; then the half turn."""
    moves = find_shifts(marks)
    seen = [project(fit.homography, corners) for fit in fits]
    for _ in range(MOST_STEPS):
        best = fits[0]
        for move in moves:
            moved = shifted(best.homography, move)
            near = NEAR_A_ROW * float(np.abs(project(moved, corners) - project(best.homography, corners)).max())
            if any(np.abs(project(moved, corners) - place).max() < near for place in seen):
                continue
            fit = refine(moved, form_print, marks)
            place = project(fit.homography, corners)
            if is_plausible(fit.homography, corners) and not any(np.abs(place - other).max() < near for other in seen):
                fits.append(fit)
                seen.append(place)
        fits.sort(key=lambda fit: -fit.quality)
        if fits[0] is best:
            break
    turn = find_half_turn(marks)
    if turn is not None:
        fits.append(refine(np.asarray(fits[0].homography @ turn, dtype=np.float64), form_print, marks))
    return sorted(fits, key=lambda fit: -fit.quality)


def is_plausible(homography: Array, corners: Array) -> bool:
    """Tell whether a map could come from a scan or photo of a sheet: not mirrored, folded, or too much distorted."""
    depth = corners @ homography[2, :2] + homography[2, 2]
    if (depth * depth[0] <= 0).any():
        return False
    px = project(homography, corners)
    jacobians = (homography[None, :2, :2] - px[:, :, None] * homography[None, 2:, :2]) / depth[:, None, None]
    scales = np.linalg.svd(jacobians, compute_uv=False)
    upright = (np.linalg.det(jacobians) > 0).all()
    stretched = (scales[:, 0] / np.maximum(scales[:, 1], 1e-9)).max()
    leaning = scales[:, 0].max() / max(float(scales[:, 0].min()), 1e-9)
    return bool(upright and stretched < MOST_STRETCH and leaning < MOST_LEAN)


def _printed_corners(template: FormTemplate) -> Array:
    """Return the corners (4, 2) mm of the upright box around all landmarks and fields.

    A form may be a block of print in the corner of a page. Beyond that block a fit is extrapolated and says nothing.
    """
    print_and_fields = [m.box_mm for m in template.landmarks] + [f.box_mm for f in template.fields]
    boxes = np.array(print_and_fields, dtype=np.float64)
    if not len(boxes):
        boxes = np.array([[0.0, 0.0, *template.page_mm]])
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    corners: Array = corners_of(np.concatenate([low, high - low])[None])[0]
    return corners


def _is_known(place: Array, seen: list[Array]) -> bool:
    apart = SAME_PLACE * float(np.ptp(place, axis=0).max())
    return any(np.abs(place - other).max() <= apart for other in seen)
