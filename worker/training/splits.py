"""The classic tasks' data: plain pixels in the splits that the published figures used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from worker.errors import PermanentError

TWO = 2
"""The digit that the binary detector looks for."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Plain pixels (N, H, W) uint8, white ink on black, and labels (N,) int64, for training and test."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]

    def limited(self, samples: int | None) -> Split:
        """Return the split with only the first so many training samples."""
        return Split(self.x_train[:samples], self.y_train[:samples], self.x_test, self.y_test)

    def deskewed(self) -> Split:
        """Return the split with every image's slant taken out."""
        return Split(deskew(self.x_train), self.y_train, deskew(self.x_test), self.y_test)

    def is_two(self) -> Split:
        """Return the split with the labels 1 for a 2 and 0 for any other digit."""
        return Split(
            self.x_train,
            (self.y_train == TWO).astype(np.int64),
            self.x_test,
            (self.y_test == TWO).astype(np.int64),
        )


def load_split(data: str, data_dir: Path | None) -> Split:
    """Return ``mnist`` in its official split, or scikit-learn's 8x8 ``digits`` split 80 to 20."""
    if data == "mnist":
        return load_mnist_split(data_dir)
    if data == "digits":
        images, labels = load_small_digits()
        return random_split(images, labels, seed=0)
    raise PermanentError(f"no data named {data}: there are mnist and digits")


def load_mnist_split(data_dir: Path | None) -> Split:
    """Return MNIST's plain pixels, from a local folder or else from OpenML, as 60,000 and 10,000."""
    if data_dir is None:
        pixels, labels = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
        images, digits = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64)
        return Split(images[:60000], digits[:60000], images[60000:], digits[60000:])
    path = next((p for p in (data_dir / "digits/mnist.npz", data_dir / "mnist.npz") if p.exists()), None)
    if path is None:
        raise PermanentError(f"no mnist.npz under {data_dir}")
    with np.load(path, allow_pickle=False) as stored:
        x, y = stored["x_train"], stored["y_train"].astype(np.int64)
        return Split(x, y, stored["x_test"], stored["y_test"].astype(np.int64))


def load_small_digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, their 16 grey levels spread over 0..255."""
    bunch = load_digits()
    return (bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


def shuffled_mnist(data_dir: Path | None) -> Split:
    """Return all 70,000 digits of MNIST, split 80 to 20 at random, as the published figure has it."""
    whole = load_mnist_split(data_dir)
    images = np.concatenate([whole.x_train, whole.x_test])
    labels = np.concatenate([whole.y_train, whole.y_test])
    return random_split(images, labels, seed=42)


def last_six_digits() -> Split:
    """Return the 8x8 digits as the first 1,791 and the last six."""
    images, labels = load_small_digits()
    return Split(images[:-6], labels[:-6], images[-6:], labels[-6:])


def random_split(images: NDArray[np.uint8], labels: NDArray[np.int64], *, seed: int) -> Split:
    """Return four fifths for training and one fifth for the test."""
    x_train, x_test, y_train, y_test = train_test_split(images, labels, test_size=0.2, random_state=seed)
    return Split(x_train, y_train, x_test, y_test)


def as_pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, H, W) uint8 images as (N, H * W) float32 in [0, 1]."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def deskew(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shear each image upright by its second moments, as LeCun et al. (1998) did before their SVM."""
    return np.stack([_deskew_one(image) for image in images])


def _deskew_one(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    moments = cv2.moments(image)
    if moments["mu02"] < 1e-2:
        return image
    slant = moments["mu11"] / moments["mu02"]
    middle = moments["m01"] / moments["m00"]
    shear = np.array([[1, slant, -slant * middle], [0, 1, 0]])
    height, width = image.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, shear, (width, height), flags=flags).astype(np.uint8, copy=False)
