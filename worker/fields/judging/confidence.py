"""What a field's reading is worth: one calibrated probability, and what speaks against it.

A logistic model of the evidence, fitted on labelled fields that never trained a reader, gives the probability that the
whole field is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worker.calibration import FieldCalibration
from worker.doubts import Doubt, DoubtKind
from worker.fields.judging.altered_digits import find_altered
from worker.fields.judging.evidence import gather_evidence
from worker.fields.judging.loose_marks import changes_meaning
from worker.fields.judging.printed_digits import look_like_box_number, look_printed
from worker.fields.judging.rim import is_cut_by_rim, is_next_cut
from worker.fields.judging.small_ends import ends_in_letter, part_raised
from worker.fields.judging.stacked_digits import holds_digit_above, holds_two_rows
from worker.fields.judging.unread_ink import is_ring_around_ink, passes_over_bar
from worker.fields.line_reader.decoding import Candidate
from worker.fields.line_reader.transcription import Transcript
from worker.grammar.meaning import parse_written
from worker.grammar.misfit import Misfit
from worker.values import NOT_A_DIGIT, Alternative

MOST_ALTERNATIVES = 3
SHORT = 2
"""In a number of no more digits one that the digit model takes for none is doubted however sure the other readers are;
cuts through longer ones leave strange digits. Of 236 right fields so short, of the development halves, none has one."""
CLOSE_READINGS, LIKELY = 0.5, 0.1
"""Two readings are close if their shares differ by no more than the first, and the second has the other one at least.

Of a clear number the first reading has nearly all: to name its runner-up as close misleads who looks at it.
"""


def judge(seen: Transcript, calibration: FieldCalibration) -> float:
    """Return the calibrated probability that a field's text is right; of one without digits there is none."""
    return calibration.confidence(gather_evidence(seen)) if seen.digits else 0.0


def list_lasting_doubts(seen: Transcript) -> tuple[Doubt, ...]:
    """Return what is doubted of a line however sure its readers are.

    Ink as high as its digits that nobody read, two rows, a digit above them, a ring, a digit that the crop's rim cuts,
    what may be a letter in a short number, a mark beside them that nobody read, a slash taken for a 1, last digits that
    are raised, small or a letter, a digit that is struck out or written over; and on a form that does not say what is
    printed in the field, digits in the shape or place of print.
    """
    is_left = seen.line.left_out or seen.passed_over or holds_two_rows(seen)
    is_left = is_left or passes_over_bar(seen) or is_ring_around_ink(seen) or holds_digit_above(seen)
    doubts = [Doubt(DoubtKind.UNREAD_INK)] if is_left else []
    doubts += doubt_alterations(find_altered(seen.altered))
    if is_cut_by_rim(seen) or is_next_cut(seen):
        doubts.append(Doubt(DoubtKind.MAY_BE_PART))
    if changes_meaning(seen) or ends_in_letter(seen):
        doubts.append(Doubt(DoubtKind.UNREAD_MARK))
    doubts += _doubt_strange(seen) if len(seen.digits) <= SHORT else []
    doubts += _doubt_slashes(seen)
    doubts += _doubt_raised(seen)
    may_hold_print = seen.crop.registration is not None and seen.crop.spec.print is None
    if may_hold_print and (look_printed(seen) or look_like_box_number(seen)):
        doubts.append(Doubt(DoubtKind.MAY_BE_PRINT))
    return tuple(doubts)


def _doubt_strange(seen: Transcript) -> list[Doubt]:
    """Return the doubts of digits that the digit model takes for none: to the other readers a letter may be one."""
    strange = [i for i in range(len(seen.digits)) if seen.alone[i, NOT_A_DIGIT] > 0.5]
    return [Doubt(DoubtKind.MAY_BE_NO_DIGIT, position=i + 1) for i in strange]


def _doubt_slashes(seen: Transcript) -> list[Doubt]:
    """Return the doubt that a 1 is a slash: `314` may be 3/4, and `12113182` a day.

    One slash in an amount parts its cents from the rest: `1/000` is none.
    """
    slashes = seen.slashed.count("/")
    if slashes == 1 and seen.crop.spec.kind == "amount":
        slashes -= isinstance(parse_written(seen.crop.spec.grammar, seen.slashed), Misfit)
    if not slashes:
        return []
    return [Doubt(DoubtKind.UNSURE_MARK, readings=(seen.text, seen.slashed))]


def _doubt_raised(seen: Transcript) -> list[Doubt]:
    """Return the doubt that the last digits are cents: 362 with a raised 51 was accepted as 36,251 rupees."""
    parted = part_raised(seen)
    return [Doubt(DoubtKind.UNSURE_MARK, readings=(seen.text, parted))] if parted else []


def doubt_alterations(positions: Iterable[int]) -> list[Doubt]:
    """Return the doubts of digits at ``positions``, from 1, that may be struck out or written over."""
    return [Doubt(DoubtKind.STRUCK_DIGIT, position=position) for position in positions]


def list_doubts(seen: Transcript) -> tuple[Doubt, ...]:
    """Return, for a reviewer, what speaks against a reading."""
    if not seen.digits:
        return ()
    doubts = doubt_runner_up(seen.candidates) + _differences(seen)
    joined = [i for i, cut in enumerate(seen.cuts) if cut.touching > 2]
    if joined:
        doubts.append(Doubt(DoubtKind.TOUCHING_DIGITS))
    doubts += _doubt_strange(seen) if len(seen.digits) > SHORT else []
    if seen.has_unnamed_mark:
        doubts.append(Doubt(DoubtKind.UNREAD_MARK))
    return tuple(doubts)


def list_alternatives(seen: Transcript) -> tuple[Alternative, ...]:
    """Return the likeliest other strings of a line, with their pooled shares."""
    others = [c for c in seen.candidates if c.digits not in ("", seen.text)]
    return tuple(Alternative(c.digits, c.probability) for c in others[:MOST_ALTERNATIVES])


def doubt_runner_up(candidates: Sequence[Candidate]) -> list[Doubt]:
    """Return the doubt that the two likeliest strings are close to each other, if they are."""
    if len(candidates) < 2:
        return []
    first, second = candidates[:2]
    gap = max(0.0, first.probability - second.probability)
    if gap > CLOSE_READINGS or second.probability < LIKELY:
        return []
    return [Doubt(DoubtKind.CLOSE_READINGS, found=gap, readings=(first.digits, second.digits))]


def _differences(seen: Transcript) -> list[Doubt]:
    alone = seen.alone[:, :NOT_A_DIGIT].argmax(axis=1).tolist()
    return [
        Doubt(DoubtKind.READERS_DIFFER, position=i + 1, readings=(digit, str(other)))
        for i, (digit, other) in enumerate(zip(seen.text, alone, strict=True))
        if int(digit) != other
    ]
