"""Muon for the convolutions of a network and AdamW for everything else, behind one interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

WEIGHT_DECAY = 0.01


class MuonAdamW:
    """Steps along orthogonalized momentum for convolutions, along AdamW's for biases and normalizations.

    Muon (Jordan et al. 2024) needs matrices: a convolution is one with a row for each of its outputs. Its steps are
    as long as AdamW's (Liu et al. 2025, arXiv:2502.16982), so one rate serves both. The network is in channels-last
    memory, where such a matrix is a view of the weights.
    """

    def __init__(self, net: nn.Module, rate: float) -> None:
        self._net = net
        self._convolutions = [p for p in net.parameters() if p.ndim == 4]
        others = [p for p in net.parameters() if p.ndim != 4]
        self._matrices = [_rows(p.detach()).view(len(p), -1) for p in self._convolutions]
        self._muon = torch.optim.Muon(
            self._matrices, lr=rate, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"
        )
        self._adamw = torch.optim.AdamW(others, lr=rate, weight_decay=WEIGHT_DECAY)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps."""
        for group in (*self._muon.param_groups, *self._adamw.param_groups):
            group["lr"] = rate

    def step(self) -> None:
        """Take one step along the gradients, and clear them."""
        for convolution, matrix in zip(self._convolutions, self._matrices, strict=True):
            assert convolution.grad is not None
            matrix.grad = _rows(convolution.grad).reshape(matrix.shape)
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()
        self._net.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of both; begin afresh if the state is of another optimizer."""
        if "muon" not in state:
            return
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])


def _rows(weights: Tensor) -> Tensor:
    return weights.permute(0, 2, 3, 1)
