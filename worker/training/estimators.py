"""The laboratory's scikit-learn estimators, by name; each takes (N, pixels) float32 in [0, 1] and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

Maker = Callable[[int], Any]

UNREGULARIZED = 1e10
"""The inverse strength of a penalty too weak to matter; the published result on MNIST used it."""

ESTIMATORS: dict[str, Maker] = {
    "logistic": lambda seed: LogisticRegression(C=UNREGULARIZED, random_state=seed),
    "logistic-default": lambda seed: LogisticRegression(max_iter=1000, random_state=seed),
    "sgd": lambda seed: SGDClassifier(loss="log_loss", random_state=seed),
    "binary": lambda seed: SGDClassifier(loss="log_loss", random_state=seed),
    "svc": lambda _: SVC(C=10, gamma=0.02),
    "knn": lambda _: KNeighborsClassifier(n_neighbors=3, weights="distance"),
    "tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "mlp": lambda seed: MLPClassifier((256,), batch_size=256, early_stopping=True, random_state=seed),
}
"""Every name of ``icr train`` except ``cnn``, which is in ``worker.training.digits.net``."""


def make_estimator(name: str, *, seed: int) -> Any:
    """Return an unfitted estimator of the laboratory."""
    return ESTIMATORS[name](seed)
