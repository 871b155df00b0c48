from __future__ import annotations

import itertools

import numpy as np
import pytest

from schemas.form_template import DateOrder
from worker.fields.line_reader import decoding
from worker.fields.line_reader.decoding import (
    ALPHABET,
    BLANK,
    Candidate,
    align,
    entropy,
    find_candidates,
    find_lone_slashes,
    find_marks,
    keep_fitting,
    merge_marks,
    merge_symbols,
    prefer_days,
    resolve_slashes,
)
from worker.fields.line_reader.forward import MOST_TOGETHER, held_of_lines

BLANK_CLASS = len(ALPHABET)


def columns(path: str, sure: float = 0.9) -> np.ndarray:
    """Log-probabilities whose likeliest class at each column is that of ``path``; '_' is the blank."""
    rest = (1 - sure) / BLANK_CLASS
    table = np.full((len(path), BLANK_CLASS + 1), rest)
    for row, sign in zip(table, path, strict=True):
        row[BLANK_CLASS if sign == "_" else ALPHABET.index(sign)] = sure
    return np.log(table).astype(np.float32)


def _held(merged: np.ndarray, strings: list[str]) -> np.ndarray:
    """Return what the readers of one line hold of strings of digits, (U, R)."""
    return held_of_lines([(merged, strings)])[0]


def collapse(path: tuple[int, ...]) -> str:
    return "".join(str(c) for c, _ in itertools.groupby(path) if c != BLANK)


@pytest.mark.parametrize(
    ("path", "digits"),
    [("_11_22_", "12"), ("1_1", "11"), ("11", "1"), ("1.1", "11"), ("$_5,0/-", "50"), ("____", "")],
)
def test_repeats_collapse_and_marks_part_like_blanks(path: str, digits: str) -> None:
    assert find_candidates(merge_marks(columns(path)))[0].digits == digits


def test_the_beam_finds_the_exact_probabilities_of_a_short_line() -> None:
    rng = np.random.default_rng(3)
    table = rng.dirichlet(np.full(11, 0.2), size=4)
    table[:, 3:10] = 0.0  # three digits and the blank: 256 paths
    table /= table.sum(axis=1, keepdims=True)
    exact: dict[str, float] = {}
    for path in itertools.product((0, 1, 2, BLANK), repeat=4):
        share = float(np.prod([table[t, c] for t, c in enumerate(path)]))
        exact[collapse(path)] = exact.get(collapse(path), 0.0) + share
    best = max(exact, key=lambda text: exact[text])
    found = find_candidates(np.log(table + 1e-30).astype(np.float32))
    assert found[0].digits == best
    assert found[0].probability == pytest.approx(exact[best], rel=0.1)


def test_grammar_chooses_among_likely_lengths_only() -> None:
    doubtful = columns("_1_2__")
    doubtful[4] = np.log(np.full(BLANK_CLASS + 1, 0.02))
    doubtful[4, 7] = np.log(0.3)
    doubtful[4, BLANK_CLASS] = np.log(0.38)
    merged = merge_marks(doubtful)
    assert find_candidates(merged)[0].digits == "12"
    assert keep_fitting(find_candidates(merged), least=3, most=3)[0].digits == "127"


def test_grammar_never_invents_a_digit() -> None:
    merged = merge_marks(columns("_1_2____", sure=0.99999))
    assert keep_fitting(find_candidates(merged), least=5, most=5)[0].digits == "12"


@pytest.mark.parametrize(
    ("strings", "order", "first"),
    [
        ("31042024 31022024", "DMY", "31042024"),  # no day, but the other is none either
        ("81012024 31012024", "DMY", "31012024"),
        ("81012024 31012024", None, "31012024"),
        ("01312024 01812024", "DMY", "01312024"),
        ("01312024 01812024", None, "01312024"),
        ("20240131 20240181", "DMY", "20240131"),
        ("31019024 31012024", "DMY", "31012024"),
        ("1012024 31012024", "DMY", "1012024"),  # 1/01/2024 without leading zeros
    ],
)
def test_a_date_that_is_no_day_gives_way_to_a_likely_day(strings: str, order: DateOrder | None, first: str) -> None:
    likely = [Candidate(s, p) for s, p in zip(strings.split(), (0.6, 0.3), strict=True)]
    found = prefer_days(likely, order)
    assert found[0].digits == first
    assert sorted(c.digits for c in found) == sorted(strings.split())
    assert {c.digits: c.probability for c in found} == {c.digits: c.probability for c in likely}


def test_a_date_that_readers_are_sure_of_stays_what_it_is() -> None:
    sure = [Candidate("30022024", 0.97), Candidate("20022024", 0.02)]
    assert prefer_days(sure, "DMY") == sure


def test_align_gives_each_digit_its_columns() -> None:
    spans = align("122", merge_marks(columns("_11__2_22_")))
    assert [(s.character, s.start, s.stop) for s in spans] == [("1", 1, 3), ("2", 5, 6), ("2", 7, 9)]


@pytest.mark.parametrize("seed", range(8))
def test_the_greedy_path_is_the_likeliest_alignment_of_the_string_it_spells(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = np.log(np.random.default_rng(seed).dirichlet(np.full(11, 0.15), size=30) + 1e-6).astype(np.float32)
    digits = decoding.spell_greedily(merged)
    quick = align(digits, merged)
    monkeypatch.setattr(decoding, "spell_greedily", lambda _: "")
    assert quick and quick == align(digits, merged)


def test_marks_stand_in_order_beside_digits() -> None:
    table = columns("$_1.23/-")
    digits = align("123", merge_marks(table))
    together = merge_symbols(digits, find_marks(table))
    assert "".join(s.character for s in together) == "$1.23/-"


@pytest.mark.parametrize(
    ("path", "kind", "digits"),
    [
        ("_5_0_/_", "number", "501"),
        ("_5_0_/_-_", "number", "50"),
        ("_5_0_/_-_", "amount", "50"),
        ("_5_0_/_", "amount", "50"),
        ("_5_0_/_._", "amount", "50"),
        ("_/_", "amount", "1"),
        ("_5_/_0_", "amount", "510"),
        ("_5_/_1_0_0_", "amount", "5100"),
        ("_5_/_0_", "date", "50"),
    ],
)
def test_a_slash_is_a_one_where_the_kind_has_no_slash(path: str, kind: str, digits: str) -> None:
    resolved = resolve_slashes(columns(path), kind)
    assert find_candidates(merge_marks(resolved))[0].digits == digits


@pytest.mark.parametrize("length", [1, 3, 6])
def test_the_probability_of_a_string_is_that_of_all_its_paths(length: int) -> None:
    """Every path of a short line is spelled and counted, and compared."""
    table = np.random.default_rng(length).dirichlet(np.full(11, 0.3), (2, length)).astype(np.float32)
    strings = ["", "1", "11", "12", "987"]
    expected = np.zeros((len(strings), 2))
    for path in itertools.product(range(11), repeat=min(length, 3)):
        spelled = "".join(str(k) for k, _ in itertools.groupby(path) if k < BLANK)
        if spelled in strings:
            rows = np.arange(len(path))
            expected[strings.index(spelled)] += table[:, rows, path].prod(axis=1)
    found = np.exp(_held(np.log(table[:, : min(length, 3)]), strings))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("most", [1, 3000, MOST_TOGETHER])
def test_lines_side_by_side_hold_what_each_holds_alone_to_the_last_bit(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.fields.line_reader.forward.MOST_TOGETHER", most)
    rng = np.random.default_rng(5)
    lines = []
    for width, readers, count in zip([9, 1, 40, 9, 17], [2, 1, 2, 1, 2], [3, 1, 6, 1, 4], strict=True):
        shares = rng.dirichlet(np.full(11, 0.2), (readers, width)).astype(np.float32)
        strings = ["", *(str(rng.integers(1, 10**6)) for _ in range(count - 1))]
        lines.append((np.log(shares + np.float32(1e-9)), strings))
    for together, (merged, strings) in zip(held_of_lines(lines), lines, strict=True):
        assert together.tobytes() == _held(merged, strings).tobytes()


def test_surely_blank_columns_between_digits_change_nothing() -> None:
    near, far = columns("_1_2_", sure=1 - 1e-6), columns("___1_______2___", sure=1 - 1e-6)
    of_near, of_far = (_held(merge_marks(line)[None], ["12", "1"])[0, 0] for line in (near, far))
    assert of_near == pytest.approx(of_far, abs=1e-4)


@pytest.mark.parametrize(
    ("path", "kind", "lone"),
    [("12/34", "number", 1), ("12/34", "date", 0), ("12/", "amount", 1), ("12/-", "amount", 0), ("1/2/3", "number", 2)],
)
def test_a_slash_that_nothing_explains_is_counted(path: str, kind: str, lone: int) -> None:
    assert len(find_lone_slashes(columns(path), kind)) == lone


def test_what_a_reader_leaves_open_is_nothing_where_it_is_sure_and_most_where_all_is_alike() -> None:
    alike = np.full((4, BLANK + 1), -np.log(BLANK + 1), np.float32)
    assert entropy(alike) == pytest.approx(4 * np.log(BLANK + 1), rel=1e-5)
    assert entropy(merge_marks(columns("1_2", sure=1 - 1e-6))) < 1e-3
    assert entropy(merge_marks(columns("1_2", sure=0.6))) > entropy(merge_marks(columns("1_2", sure=0.9)))
