"""Both readers trained on one stream of drawn fields: what each sees of a field, the bank, the restored networks."""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
import pytest

from tests.support.data import NEEDS_TRAIN

torch = pytest.importorskip("torch", reason=NEEDS_TRAIN)
torch.set_num_threads(1)

from worker.fields.line_reader.decoding import ALPHABET  # noqa: E402
from worker.fields.line_reader.general_line import FILL  # noqa: E402
from worker.fields.line_reader.normalization import normalize_line  # noqa: E402
from worker.models.card import card_path, read_card  # noqa: E402
from worker.models.runtime import DIGITS, GENERAL, LINE_READER, MODELS_DIR  # noqa: E402
from worker.synthesis.fields import draw_field  # noqa: E402
from worker.training.digits.production import calibrated  # noqa: E402
from worker.training.fields.net import FieldsNet  # noqa: E402
from worker.training.fields.samples import LineSample, line_of, stack_lines  # noqa: E402
from worker.training.fields.train import UNREADABLE, ctc_loss  # noqa: E402
from worker.training.general.net import GeneralNet, Shipped  # noqa: E402
from worker.training.general.samples import cut_sample  # noqa: E402
from worker.training.readers import train  # noqa: E402
from worker.training.readers.bank import Bank  # noqa: E402
from worker.training.readers.drawing import CONTENT_WIDTHS, MOST_TARGETS, Chunk, View, pack  # noqa: E402
from worker.training.readers.variation import vary_cuts, vary_lines  # noqa: E402
from worker.training.restoring import (  # noqa: E402
    fill_normalizations,
    restore_digit_net,
    restore_general,
    restore_networks,
)

pytestmark = pytest.mark.train
CPU = torch.device("cpu")


def _pairs(count: int) -> tuple[list[LineSample], list[LineSample]]:
    rng = np.random.default_rng(11)
    cuts, lines = [], []
    while len(cuts) < count or len(lines) < count:
        sample = draw_field(rng, "".join(map(str, rng.integers(0, 10, int(rng.integers(2, 6))))))
        line = normalize_line(sample.grey)
        cut, other = (cut_sample(rng, sample, line), line_of(sample, line)) if line.ink else (None, None)
        cuts += [cut] if cut else []
        lines += [other] if other else []
    return cuts[:count], lines[:count]


def _bank(view: View, samples: list[LineSample], capacity: int = 1000) -> Bank:
    bank = Bank(view, capacity, CPU)
    for chunk in pack(view, samples):
        bank.keep(chunk)
    return bank


def test_both_readers_learn_the_same_digits_of_a_field() -> None:
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(40):
        sample = draw_field(rng, "".join(map(str, rng.integers(0, 10, 4))))
        line = normalize_line(sample.grey)
        cut, other = cut_sample(rng, sample, line), line_of(sample, line)
        if cut and other:
            compared += 1
            assert [ALPHABET[i] for i in cut.target] == [ALPHABET[i] for i in other.target] == list(sample.text)
    assert compared > 15


def test_pictures_are_kept_by_width_and_handed_out_with_their_own_targets() -> None:
    rng = np.random.default_rng(0)
    widths = [40, 130, 200, 430, 900]
    samples = [
        LineSample(np.full((48, w), i + 1, np.uint8), np.arange(i + 1, dtype=np.int64)) for i, w in enumerate(widths)
    ]
    bank = _bank("general", samples)
    assert bank.taken == 4  # the widest is left out
    for _ in range(30):
        batch = bank.batch(rng, 8)
        for image, width, target, length in zip(batch.images, batch.widths, batch.targets, batch.lengths, strict=True):
            mark = int(image[0, 0])
            assert length == mark and width == widths[mark - 1]
            assert target[:length].tolist() == list(range(mark))
            assert (image[:, : int(width)] == mark).all() and (image[:, int(width) :] == FILL).all()


def test_a_full_bank_overwrites_its_oldest_pictures() -> None:
    bank = Bank("line", 8, CPU)
    for value in range(1, 8):
        images = np.full((3, 40, CONTENT_WIDTHS["line"][0]), value, np.uint8)
        bank.keep(Chunk("line", 0, images, np.full(3, 60), np.zeros((3, MOST_TARGETS), np.int64), np.ones(3, np.int64)))
    seen = {int(image[0, 0]) for image in bank.batch(np.random.default_rng(0), 200).images}
    assert 7 in seen and not seen & {1, 2, 3}


def test_varied_cuts_keep_middle_grey_behind_them_and_varied_lines_stay_between_paper_and_ink() -> None:
    cuts, lines = _pairs(12)
    rng = np.random.default_rng(1)
    for _ in range(4):
        batch = _bank("general", cuts).batch(rng, 16)
        varied = vary_cuts(batch)
        assert varied.shape[2] == 48 and varied.shape[3] % 8 == 0
        assert varied.min() > -0.01 and varied.max() < 255.01
        widest = 1.6 * batch.widths.max()  # stretch is exp(N(0, 0.08)): six sigma
        if widest < varied.shape[3]:
            assert (varied[..., int(widest) :] == FILL).all()
        ink = vary_lines(_bank("line", lines).batch(rng, 16))
        assert ink.shape[2] == 40 and ink.shape[3] % 4 == 0
        assert ink.min() > -1e-4 and ink.max() < 1.0001 and (ink.amax(dim=(1, 2, 3)) > 0.3).all()


def test_the_shipped_networks_come_back_as_they_read() -> None:
    from onnxruntime import InferenceSession

    _, lines = _pairs(24)
    stacked = stack_lines(lines)
    shipped = InferenceSession(MODELS_DIR / LINE_READER).run(None, {"lines": stacked})[0].argmax(-1)
    ink = torch.from_numpy(stacked).unsqueeze(1).float() / 255
    for k, net in enumerate(restore_networks(MODELS_DIR / LINE_READER)):
        with torch.no_grad():
            before = net.eval()(ink)
            fill_normalizations(net, ink)
            after = net(ink)
        assert (before.argmax(-1).numpy() == shipped[:, k]).mean() > 0.99
        assert torch.allclose(before, after, atol=1e-3)
        norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert all(float(norm.running_var.max()) < 1e4 and float(norm.weight.detach().std()) > 0 for norm in norms)


def test_the_shipped_general_reader_comes_back_as_it_reads() -> None:
    from onnxruntime import InferenceSession

    cuts = np.random.default_rng(0).integers(0, 255, (2, 48, 160), dtype=np.uint8)
    shipped = InferenceSession(MODELS_DIR / GENERAL).run(None, {"lines": cuts})[0]
    with torch.no_grad():
        answers = Shipped(restore_general(MODELS_DIR / GENERAL)).eval()(torch.from_numpy(cuts)).numpy()
    assert np.abs(np.exp(answers) - np.exp(shipped)).mean() < 0.01  # what comes into its layers is not rounded


def test_a_training_that_goes_on_keeps_the_first_layers_of_the_general_reader() -> None:
    cuts, _ = _pairs(4)
    plan = train.ReadersPlan.going_on(1.0, 0, 1)
    learner = train.GeneralLearner(GeneralNet(), plan, CPU)
    before = {name: weights.clone() for name, weights in learner.net.state_dict().items()}
    train.take_step(
        learner, _bank("general", cuts).batch(np.random.default_rng(0), 2), 1.0, plan, train.ReadersState([])
    )
    moved = {name for name, weights in learner.net.state_dict().items() if not torch.equal(weights, before[name])}
    assert any(name.startswith("backbone.12") for name in moved) and "head.weight" in moved
    assert not {name for name in moved if name.startswith(tuple(f"backbone.{i}." for i in range(11)))}


def test_a_graph_of_other_networks_is_refused() -> None:
    with pytest.raises(ValueError, match="linear layers"):
        restore_general(MODELS_DIR / LINE_READER)
    with pytest.raises(ValueError, match="layers with weights"):
        restore_networks(MODELS_DIR / LINE_READER, count=3)
    with pytest.raises(ValueError, match="layers with weights"):
        restore_digit_net(MODELS_DIR / LINE_READER, 1.0)


def test_the_digit_network_comes_back_as_it_answers() -> None:
    from worker.digits.normalization import normalize_digits
    from worker.synthesis.digits import draw_digit
    from worker.training.export import run_onnx

    rng = np.random.default_rng(0)
    images = normalize_digits(draw_digit(rng)[0] for _ in range(200))
    card = read_card(card_path(MODELS_DIR / DIGITS))
    assert card.calibration is not None
    temperature = float(card.calibration["temperature"])
    net = restore_digit_net(MODELS_DIR / DIGITS, temperature)
    fill_normalizations(net, torch.from_numpy(images))
    shipped = run_onnx((MODELS_DIR / DIGITS).read_bytes(), images)
    with torch.no_grad():
        answers = torch.softmax(calibrated(net, temperature).eval()(torch.from_numpy(images)), 1).numpy()
    assert (answers.argmax(1) == shipped.argmax(1)).mean() > 0.98
    assert np.abs(answers - shipped).mean() < 0.005


def test_the_loss_of_a_batch_is_that_of_its_lines() -> None:
    _, lines = _pairs(20)
    empty = LineSample(np.zeros((40, 60), np.uint8), np.zeros(0, np.int64))
    batch = _bank("line", [*lines, empty]).batch(np.random.default_rng(2), 32)
    torch.manual_seed(0)
    answers = torch.randn(32, 60, 18).log_softmax(-1)
    samples = [
        LineSample(np.zeros((40, 8), np.uint8), target[:length].numpy())
        for target, length in zip(batch.targets, batch.lengths.tolist(), strict=True)
    ]
    assert float(train.batch_loss(answers, batch)) == pytest.approx(
        float(ctc_loss(answers, samples, left_out=UNREADABLE)), rel=1e-4
    )


def test_a_training_moves_every_reader_and_keeps_its_running_averages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts, lines = _pairs(16)
    chunks: queue.Queue[list[Chunk]] = queue.Queue()
    chunks.put(pack("general", cuts) + pack("line", lines))
    monkeypatch.setattr(train, "start_drawers", lambda *_: ([], chunks))
    monkeypatch.setattr(train, "FIRST_PICTURES", 16)
    monkeypatch.setattr(train, "SEEN_LINES", 16)
    general, networks = GeneralNet(), [FieldsNet(), FieldsNet()]
    first = [net.head.weight.detach().clone() for net in (general, *networks)]
    plan = train.ReadersPlan(minutes=0.05, batch=2, most_uses=1e6, warmup_steps=1, line_batches=10)
    state = train.train_readers(plan, general, networks, tmp_path, tmp_path, report=lambda _: None)
    assert state.steps >= 1
    kept = torch.load(tmp_path / "readers.pt", weights_only=True)
    assert kept["steps"] == state.steps and kept["device"] == "cpu"
    for learner, before, weights in zip(state.learners, first, kept["averaged"], strict=True):
        assert not torch.equal(learner.net.head.weight, before)
        assert torch.equal(learner.averaged.head.weight, weights["head.weight"])
