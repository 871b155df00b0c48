"""What the general reader is trained on, who is kept out of it, and how a training is taken up again."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import numpy as np
import pytest

from worker.fields.line_reader.decoding import ALPHABET
from worker.training.fields import samples
from worker.training.fields.calibration import kind_of
from worker.training.fields.samples import Drawer, LineSample, SamplePool
from worker.training.general.held_out import draw_held_out_fields, draw_held_out_rows
from worker.training.general.pens import PenBank, is_held_out, load_pen_bank

HELD = [f"w{i}" for i in range(60) if is_held_out(f"w{i}")][:3]
TRAINED = [f"w{i}" for i in range(60) if not is_held_out(f"w{i}")][:3]


def _row(label: str, writer: str, strokes: list[list[int]]) -> dict[str, object]:
    return {"label": label, "writer": writer, "strokes": strokes, "w": 100, "h": 100, "odd": 0}


def _digit(digit: int, lean: int) -> list[list[int]]:
    return [[0, 0, 30 + 5 * digit, 30, lean, 100]]


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Write sets of six UNIPEN writers, three of them held out; a lean tells whose digit it is."""
    writers = [*HELD, *TRAINED]
    leans = {writer: 20 * i for i, writer in enumerate(writers)}
    pens = tmp_path / "pens"
    digits = [_row(str(d), w, _digit(d, leans[w])) for w in writers for d in range(10)]
    numbers = [_row("1 2", w, [[0, 0, leans[w], 100], [200, 0, 230, 50, 210, 100]]) for w in writers]
    _write(pens / "unipen" / "digits.jsonl.gz", digits)
    _write(pens / "unipen" / "numbers.jsonl.gz", [*numbers, _row("7", TRAINED[0], _digit(7, 0)) | {"odd": 1}])
    _write(pens / "pendigits_orig" / "digits.jsonl.gz", [_row(str(d), "pd", _digit(d, 160)) for d in range(10)])
    _write(pens / "ujipenchars1" / "digits.jsonl.gz", [])
    return tmp_path


def _leans(bank: PenBank) -> set[int]:
    """Return the leans of the ones that a bank hands out."""
    rng = np.random.default_rng(0)
    ones = [shape for _ in range(80) for shape in bank.writer_shapes(rng, "1")[1]]
    return {round(100 * float(one[-1, 1, 0] - one[0, 0, 0])) for one in ones}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("4625", "number"),
        ("12.5.91", "date"),
        ("1991-12-05", "date"),
        ("4.625.096", "amount"),
        ("1.234,50", "amount"),
        ("12-5.91", "amount"),
        ("2,66,667/=", "amount"),
    ],
)
def test_a_text_has_the_kind_of_field_in_which_people_write_it(text: str, kind: str) -> None:
    """Numbers with points of thousands had been drawn as dates."""
    assert kind_of(text) == kind


def test_no_held_out_writer_is_in_the_bank_that_trains(data_dir: Path) -> None:
    assert _leans(load_pen_bank(data_dir, held_out=False)) == {60, 80, 100, 160}
    assert _leans(load_pen_bank(data_dir, held_out=True)) == {0, 20, 40}


def test_whole_numbers_are_spelt_without_blanks_and_odd_ones_are_left_out(data_dir: Path) -> None:
    bank = load_pen_bank(data_dir, held_out=False)
    texts = {bank.pick_number(np.random.default_rng(seed)).text for seed in range(60)}
    assert all(len(text) == 2 and text.isdigit() for text in texts)
    assert "12" in texts and len(texts) > 5  # digits are swapped within the writer


def test_held_out_fields_have_their_digits_as_truth_and_one_seed_draws_one_set(data_dir: Path) -> None:
    fields = draw_held_out_fields(data_dir, 6, seed=1)
    assert [f.truth for f in fields] == [f.truth for f in draw_held_out_fields(data_dir, 6, seed=1)]
    assert all(f.truth.isdigit() and f.crop.spec.layout == "free" for f in fields)


def test_held_out_rows_have_a_digit_in_every_cell(data_dir: Path) -> None:
    rows = draw_held_out_rows(data_dir, 4, seed=1)
    assert all(row.crop.spec.cells == len(row.truth) for row in rows)


def test_a_flat_stroke_or_a_far_one_is_no_digit(data_dir: Path) -> None:
    """A level stroke labelled 1 was 22 million heights wide, and drawing it took all memory."""
    flat = [_row("1", TRAINED[0], [[0, 0, 90, 0, 500, 0]]), _row("4", TRAINED[0], [[0, 0, 1, 40], [900, 0, 901, 40]])]
    path = data_dir / "pens" / "unipen" / "digits.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    _write(path, [*rows, *flat * 20])
    bank, rng = load_pen_bank(data_dir, held_out=False), np.random.default_rng(0)
    shapes = [shape for _ in range(15) for own in bank.writer_shapes(rng, "14") for shape in own]
    assert max(np.ptp(shape[..., 0]) for shape in shapes) < 2
    assert min(np.ptp(shape[..., 1]) for shape in shapes) > 0.5


def test_a_hands_digits_fill_the_unit_height_wherever_they_stood_on_their_line(data_dir: Path) -> None:
    bank = load_pen_bank(data_dir, held_out=False)
    for seed in range(10):
        for own in bank.writer_shapes(np.random.default_rng(seed), "0123456789"):
            for shape in own:
                assert np.ptp(shape[..., 1]) == pytest.approx(1, abs=1e-4)
                assert shape.reshape(-1, 2).min(axis=0) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.train
def test_lines_to_train_on_are_cut_as_the_worker_cuts_them(data_dir: Path) -> None:
    from worker.training.general.samples import draw_general_line, stack_cuts, vary_cut

    bank = load_pen_bank(data_dir, held_out=False)
    rng = np.random.default_rng(2)
    lines = [line for line in (draw_general_line(rng, bank, bank) for _ in range(40)) if line is not None]
    assert len(lines) > 20
    varied = [vary_cut(line, rng) for line in lines]
    for line in (*lines, *varied):
        assert line.image.shape[0] == 48 and line.image.dtype == np.uint8
        repeats = int((line.target[1:] == line.target[:-1]).sum())
        assert -(-line.image.shape[1] // 8) >= len(line.target) + repeats
        assert (line.target < len(ALPHABET)).all()
    assert stack_cuts(varied).shape[2] % 8 == 0


@pytest.mark.train
def test_a_training_that_is_taken_up_goes_on_where_it_stood(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from worker.training.general.net import GeneralNet
    from worker.training.general.train import SHARE_OF_TUNED, GeneralPlan, GeneralState, take_step

    rng = np.random.default_rng(0)
    batch = [LineSample(rng.integers(0, 256, (48, 64), np.uint8), np.array([1, 2])) for _ in range(2)]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = GeneralState.begin(GeneralNet(), GeneralPlan())
    take_step(state, batch, average=0.9)
    state.save(tmp_path / "state.pt")
    other = GeneralState.begin(GeneralNet(), GeneralPlan())
    other.load(tmp_path / "state.pt")
    assert (other.step, other.lines) == (1, 2)
    for _ in range(2):  # the optimizer's momentum is taken up, too
        losses = [take_step(one, batch, average=0.9) for one in (state, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    published = GeneralNet()
    shipped = state.to_ship(published)
    for between, start, end in zip(
        shipped.parameters(), published.parameters(), state.averaged.parameters(), strict=True
    ):
        assert torch.allclose(between, start + SHARE_OF_TUNED * (end - start), atol=1e-5)
    for ours, theirs in zip(state.averaged.parameters(), other.averaged.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def _draw_marks(_data_dir: Path, _cache: Path) -> Drawer:
    return lambda rng: LineSample(rng.integers(0, 256, (48, 64), np.uint8), np.array([1]))


def test_the_pen_waits_where_it_is_far_ahead_of_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "load_shape_bank", lambda *_: None)
    pool = SamplePool(0, tmp_path, tmp_path / "none", make_drawer=_draw_marks, capacity=100, most_ahead=320)
    try:
        pool.refill(at_least=64)
        time.sleep(1.5)
        pool.refill()
        assert pool.drawn <= 320 + samples.CHUNK
        pool.batches(np.random.default_rng(0), size=32, count=40)
        before, until = pool.drawn, time.monotonic() + 60
        while pool.drawn < before + 960 and time.monotonic() < until:
            pool.refill()
            time.sleep(0.05)
        assert pool.drawn >= before + 960
    finally:
        pool.close()
