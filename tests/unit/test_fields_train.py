from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from worker.training.fields_train import SHARE_OF_LAST, TrainingState  # noqa: E402


def _shift(state: TrainingState, by: float) -> None:
    with torch.no_grad():
        for weights in state.averaged.parameters():
            weights += by


def test_a_training_that_was_not_prolonged_ships_its_running_average() -> None:
    state = TrainingState.fresh(1e-3, 0, "cpu")
    _shift(state, 0.5)
    shipped, averaged = state.to_ship().state_dict(), state.averaged.state_dict()
    assert all(torch.equal(shipped[name], averaged[name]) for name in averaged)


def test_a_prolonged_training_ships_what_lies_between_its_ends_and_is_taken_up_from_its_file(tmp_path: Path) -> None:
    state = TrainingState.fresh(1e-3, 0, "cpu")
    first = state.averaged.head.weight.clone()
    state.ended = True
    state.save(tmp_path / "network.pt")

    later = TrainingState.fresh(1e-3, 1, "cpu")
    later.load(tmp_path / "network.pt")
    assert later.ended and later.former is None
    later.prolong()
    _shift(later, 0.3)
    later.save(tmp_path / "network.pt")

    again = TrainingState.fresh(1e-3, 2, "cpu")
    again.load(tmp_path / "network.pt")
    assert not again.ended
    assert torch.allclose(again.to_ship().head.weight, first + SHARE_OF_LAST * 0.3, atol=1e-6)


def test_a_checkpoint_of_before_trainings_could_be_prolonged_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    state = TrainingState.fresh(1e-3, 0, "cpu")
    state.lines = 7
    state.save(path)
    content = torch.load(path, weights_only=True)
    del content["ended"], content["former"]
    torch.save(content, path)
    taken_up = TrainingState.fresh(1e-3, 1, "cpu")
    taken_up.load(path)
    assert (taken_up.lines, taken_up.ended, taken_up.former) == (7, False, None)
