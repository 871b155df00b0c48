"""Strings pooled over unlike readers: what each may say, and how much it may say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.form_template import FieldSpec
from worker.calibration import Pooling
from worker.fields.line_reader.pooling import Ballot, Seen, digits_say, hold_ballots
from worker.fields.line_reader.transcription import choose_string
from worker.values import Box, DigitReading


def reader(text: str, rival: str = "", share: float = 1.0) -> np.ndarray:
    """Return (T, 11) log-probabilities of a reader that reads ``text``, and ``rival`` with the rest."""
    table = np.full((2 * len(text) + 1, 11), 1e-6)
    table[::2, 10] = 1
    for k, digit in enumerate(text):
        table[2 * k + 1, int(digit)] = share
        if rival:
            table[2 * k + 1, int(rival[k])] += 1 - share
    return np.log(table / table.sum(axis=1, keepdims=True)).astype(np.float32)


def networks(*texts: str) -> np.ndarray:
    return np.stack([reader(text) for text in texts])


def hold_one(*seen: Any) -> Ballot:
    return hold_ballots([Seen(*seen)], Pooling())[0]


def cell(digit: str, sure: float = 0.99) -> DigitReading:
    probabilities = np.full(10, (1 - sure) / 9, np.float32)
    probabilities[int(digit)] = sure
    return DigitReading(0, probabilities, 0.0, Box(0, 0, 1, 1))


def test_every_reader_s_string_is_on_the_ballot_and_shares_add_up() -> None:
    ballot = hold_one(networks("41", "47"), reader("91"), [cell("2"), cell("1")])
    assert {"41", "47", "91", "21"} <= set(ballot.strings)
    assert ballot.log_probabilities.shape == (len(ballot.strings), 3)
    assert ballot.probabilities().sum() == pytest.approx(1)


def test_two_readers_that_agree_outweigh_one_that_does_not() -> None:
    assert hold_one(networks("41", "47"), reader("41")).candidates()[0].digits == "41"
    assert hold_one(networks("47", "47"), reader("41", "47", 0.6)).candidates()[0].digits == "47"


def test_without_the_general_reader_the_networks_have_the_whole_say() -> None:
    ballot = hold_one(networks("41", "41"))
    assert ballot.log_probabilities.shape[1] == 2 and ballot.candidates()[0].digits == "41"


def test_a_row_is_rather_full_than_not() -> None:
    cells = [cell("4"), cell("1"), cell("7")]
    unsure = reader("417")
    unsure[5] = np.log(np.full(11, 1 / 11))
    assert hold_one(unsure[None], unsure, cells).candidates()[0].digits == "417"


def test_single_digits_say_nothing_new_of_strings_of_another_length() -> None:
    likely = np.log(np.stack([cell("4").probabilities, cell("1").probabilities]).astype(np.float64))
    same, other, longer = digits_say(likely, ["41", "47", "411"])
    assert same == pytest.approx(longer) and other < same


@pytest.mark.parametrize("share", [0.002, 0.0001])
def test_the_string_that_was_cut_out_comes_first_though_no_fitting_one_has_its_length(share: float) -> None:
    scores = np.log(np.array([1 - share, share]))
    spec = FieldSpec(name="row", box_mm=(0, 0, 20, 10), layout="cells", cells=2, digits=2)
    found = choose_string(Ballot(("7", "73"), scores[:, None], scores), 1, spec)
    assert [candidate.digits for candidate in found] == ["7", "73"]
