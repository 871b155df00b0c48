"""A second of mutated messages and names; ``tests.support.fuzz_outside`` goes on for as long as one likes."""

from __future__ import annotations

import os

import pytest

from tests.support.fuzz_outside import TRIES, fuzz


@pytest.mark.parametrize("kind", sorted(TRIES))
def test_what_comes_from_outside_ends_in_a_job_a_file_or_a_reason(kind: str) -> None:
    told = fuzz(kind, int(os.environ.get("FUZZ_SEED", "1")), float(os.environ.get("FUZZ_SECONDS", "0.5")))
    assert int(str(told["cases"])) > 50 and int(str(told["refused"])) > 20
    assert told.get("a job") or told.get("read")
