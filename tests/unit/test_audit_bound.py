"""The bound of the audit: how often it is broken in simulation, at any time at all, and how wide it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from worker.monitoring.audit_bound import ALPHA, bound_rate, log_capital

RUNS, LONGEST = 600, 2000


@pytest.mark.parametrize("rate", [0.005, 0.02])
def test_it_is_broken_in_at_most_one_run_of_twenty_though_one_looks_after_every_field(rate: float) -> None:
    """The bound is broken when the capital against the true rate reaches 1 / alpha; so this needs no bisection.

    The capital grows with every right field, so it is highest before a wrong one, or at the end.
    """
    generator = np.random.default_rng(20)
    broken = 0
    for _ in range(RUNS):
        before_wrong = [*np.flatnonzero(generator.random(LONGEST) < rate).tolist(), LONGEST]
        capital = max(log_capital(audited, wrong, rate) for wrong, audited in enumerate(before_wrong))
        broken += capital >= math.log(1 / ALPHA)
    assert broken / RUNS <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def test_a_fixed_sample_looked_at_again_and_again_breaks_its_promise() -> None:
    """The reason for the bound: the exact interval of a fixed sample, asked after every field, fails far too often."""
    generator, rate = np.random.default_rng(21), 0.01
    audited = np.arange(50, LONGEST + 1)
    broken = 0
    for _ in range(60):
        wrong = np.cumsum(generator.random(LONGEST) < rate)[49:]
        broken += bool((beta.ppf(1 - ALPHA, wrong + 1, audited - wrong) < rate).any())
    assert broken / 60 > 2 * ALPHA


@pytest.mark.parametrize(("audited", "wrong"), [(100, 0), (1000, 0), (1000, 1), (1000, 5), (10_000, 30)])
def test_it_costs_at_most_half_as_much_again_as_a_fixed_sample(audited: int, wrong: int) -> None:
    exact = float(beta.ppf(1 - ALPHA, wrong + 1, audited - wrong))
    assert exact <= bound_rate(audited, wrong) <= 1.55 * exact


def test_it_falls_with_right_fields_and_rises_with_wrong_ones() -> None:
    assert bound_rate(0, 0) == 1.0 and bound_rate(1, 1) == 1.0
    assert bound_rate(100, 0) > bound_rate(200, 0) > bound_rate(400, 0)
    assert bound_rate(400, 0) < bound_rate(400, 1) < bound_rate(400, 2)


def test_the_bound_is_the_least_rate_that_is_refuted() -> None:
    bound = bound_rate(500, 3)
    assert log_capital(500, 3, bound * 1.001) >= math.log(1 / ALPHA) > log_capital(500, 3, bound * 0.999)
