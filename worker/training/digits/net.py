"""The production digit network as a scikit-learn estimator, through skorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from worker.digits.normalization import SIZE
from worker.training.digits.augmentation import MIXTURES, augment_mixture
from worker.training.digits.pool import Pool, looks_like_one
from worker.training.precision import mixed_precision
from worker.values import NOT_A_DIGIT

CLASSES = 11
IGNORED = -100
"""The label that the loss leaves out."""

EPOCHS = 24
"""Epochs of a training: a quarter of an hour on one core with AMX (docs/explanation/digit-model.md)."""

PASSES = 2
"""Epochs that see the same augmented images, each in another order; making them costs as much as half a pass."""


class _Convolution(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class DigitNet(nn.Module):
    """Plain convolutions at 14, 7 and 4 pixels: (N, 28, 28) uint8 to (N, 11) float32 logits."""

    def __init__(self, widths: tuple[int, int, int] = (32, 80, 128), dropout: float = 0.1) -> None:
        super().__init__()
        low, middle, high = widths
        self.features = nn.Sequential(
            _Convolution(1, low, kernel=5, stride=2),
            _Convolution(low, low),
            _Convolution(low, middle, stride=2),
            _Convolution(middle, middle),
            _Convolution(middle, middle),
            _Convolution(middle, high, stride=2),
            _Convolution(high, high),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(high * 16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits; the division by 255 is part of the model."""
        ink = images.to(torch.float32).div(255).view(-1, 1, SIZE, SIZE)
        ink = ink.contiguous(memory_format=torch.channels_last) if self.training else ink
        return self.head(self.dropout(self.features(ink)))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long the network trains and at what rates; the learning rate rises, then falls as a cosine."""

    epochs: int = EPOCHS
    samples_an_epoch: int = 60_000
    batch: int = 128
    peak_rate: float = 0.06
    warm_up: float = 0.1
    seed: int = 0
    mixture: str = "plain"

    @property
    def steps(self) -> int:
        """The number of batches in the whole training."""
        return self.epochs * (self.samples_an_epoch // self.batch)

    def rate(self, step: int) -> float:
        """Return the learning rate of a batch, counted from 0."""
        warm = self.warm_up * self.steps
        if step < warm:
            return self.peak_rate * (step + 1) / warm
        return self.peak_rate * 0.5 * (1 + float(np.cos(np.pi * (step - warm) / (self.steps - warm))))


@dataclass
class AugmentedEpochs:
    """Draws samples from the pool by weight and augments them; ``PASSES`` epochs see them, each in its own order."""

    pool: Pool
    schedule: Schedule
    epoch: int = 0
    device: str = "cpu"
    _made: tuple[int, NDArray[np.uint8], NDArray[Any]] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        plan, epoch = self.schedule, self.epoch
        images, labels = self._samples(epoch // PASSES)
        torch.manual_seed(plan.seed * 100_003 + epoch)  # of the dropout
        self.epoch += 1
        order = np.random.default_rng((plan.seed, epoch, 1)).permutation(len(labels))
        for rows in order.reshape(-1, plan.batch):
            yield torch.from_numpy(images[rows]), torch.from_numpy(labels[rows])

    def _samples(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Return the images and labels of an epoch: the last ones made, or new ones from the seed of the epoch."""
        if self._made is None or self._made[0] != number:
            plan, rng = self.schedule, np.random.default_rng((self.schedule.seed, number))
            generator = torch.Generator().manual_seed(plan.seed * 100_003 + number)
            size = plan.samples_an_epoch // plan.batch * plan.batch
            drawn = rng.choice(len(self.pool.labels), size, p=self.pool.weights).reshape(-1, plan.batch)
            mixture, pool = MIXTURES[plan.mixture], self.pool.images
            images = np.concatenate([augment_mixture(pool[rows], mixture, generator) for rows in drawn])
            self._made = number, images, without_new_ones(images, self.pool.labels[drawn.ravel()])
        return self._made[1:]


@dataclass
class DistilledEpochs(AugmentedEpochs):
    """Epochs whose targets are the joint answers of networks, (N, 11) float32; all 0 if the loss leaves one out."""

    teachers: tuple[nn.Module, ...] = ()

    def _samples(self, number: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        if self._made is None or self._made[0] != number:
            images, labels = super()._samples(number)
            answers = joint_answers(self.teachers, images)
            answers[labels == IGNORED] = 0
            self._made = number, images, answers
        return self._made[1:]


def joint_answers(teachers: tuple[nn.Module, ...], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the (N, 11) normalized geometric mean of the networks' probabilities."""
    parts = []
    with torch.no_grad(), mixed_precision():
        for at in range(0, len(images), 500):
            chunk = torch.from_numpy(images[at : at + 500])
            logs = [torch.log_softmax(net.eval()(chunk.to(device_of(net))).float(), 1) for net in teachers]
            parts.append(torch.softmax(torch.stack(logs).mean(0), 1).cpu())
    return torch.cat(parts).numpy()


def device_of(net: nn.Module) -> torch.device:
    """Return where a network's weights lie."""
    return next(net.parameters()).device


def without_new_ones(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels with ``IGNORED`` for non-digits that augmentation turned into a 1 (a rule on an empty cell)."""
    kept = labels.copy()
    for i in np.flatnonzero(labels == NOT_A_DIGIT):
        if looks_like_one(images[i]):
            kept[i] = IGNORED
    return kept


@dataclass(eq=False)
class Progression(Callback):  # type: ignore[misc]
    """Sets the learning rate, keeps a moving average of the weights, and can be saved and continued."""

    schedule: Schedule
    decay: float = 0.999
    step: int = 0
    average: Any = field(default=None)

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Start the moving average at the first weights."""
        if self.average is None:
            averaging = get_ema_multi_avg_fn(self.decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(net.module_, multi_avg_fn=averaging, use_buffers=True)

    def on_batch_begin(self, net: Any, **_: Any) -> None:
        """Set this batch's learning rate."""
        for group in net.optimizer_.param_groups:
            group["lr"] = self.schedule.rate(self.step)

    def on_batch_end(self, net: Any, **_: Any) -> None:
        """Move the average towards the new weights."""
        self.average.update_parameters(net.module_)
        self.step += 1


class MixedPrecisionClassifier(NeuralNetClassifier):  # type: ignore[misc]
    """A skorch classifier that trains in bfloat16 if the processor multiplies it faster than float32."""

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Return logits, float32; evaluation stays in float32 throughout."""
        with mixed_precision(enabled=self.module_.training):
            logits: Tensor = super().infer(x, **fit_params)
        return logits.float()


def make_estimator(schedule: Schedule, epochs: AugmentedEpochs, *callbacks: tuple[str, Callback]) -> Any:
    """Return the skorch classifier; its ``predict_proba`` takes (N, 28, 28) uint8."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return MixedPrecisionClassifier(
        DigitNet,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__nesterov=True,
        optimizer__weight_decay=2e-4,
        lr=schedule.peak_rate,
        max_epochs=schedule.epochs,
        batch_size=1000,
        train_split=None,
        iterator_train=lambda *_args, **_kwargs: epochs,
        callbacks=list(callbacks),
        callbacks__print_log=None,
        device=device,
        classes=list(range(CLASSES)),
        verbose=0,
    )
