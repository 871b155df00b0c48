"""``make chaos``: throw faults at both systems, print the figures; exit code 1 if anything was lost."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.run import Figures, Plan, run_chaos
from tests.chaos.systems import ManyProcesses, OneMachine


@click.command()
@click.option("--scans", default=500, show_default=True, help="Dropped into the folder.")
@click.option("--jobs", default=500, show_default=True, help="Sent as messages.")
@click.option("--seed", type=int, help="Of an earlier run, to throw the same faults.")
@click.option("--scans-per-fault", default=8.0, show_default=True, help="Ended between two faults, on average.")
@click.option("--freeze", default=30.0, show_default=True, help="Longest freeze or lock, long ones apart, seconds.")
@click.option("--patience", default=3600.0, show_default=True, help="Seconds after which a run counts as stuck.")
@click.option("--on", "which", type=click.Choice(["both", "one", "many"]), default="both", show_default=True)
def chaos(
    scans: int, jobs: int, seed: int | None, scans_per_fault: float, freeze: float, patience: float, which: str
) -> None:
    """Throw faults at a running system and count what is lost."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    plan = Plan(scans, jobs, seed, scans_per_fault, freeze, patience, long_faults=True)
    held = True
    for name, kind in (("one", OneMachine), ("many", ManyProcesses)):
        if which in ("both", name):
            with tempfile.TemporaryDirectory(prefix="icr-chaos-") as folder:
                outbox = Path(folder) / "outbox"
                outbox.mkdir()
                figures = run_chaos(kind(Path(folder) / "home", ICR_SCAN_ROOTS=str(outbox)), plan)
            _print(kind.name, plan, figures)
            held &= not figures.problems
    sys.exit(0 if held else 1)


def _print(name: str, plan: Plan, figures: Figures) -> None:
    thrown = ", ".join(f"{fault} {count}" for fault, count in sorted(figures.faults.items()))
    click.echo(f"{name}; seed {plan.seed}")
    click.echo(f"  faults thrown      {figures.faults.total()}: {thrown}")
    click.echo(f"  scans and jobs     {plan.scans} + {plan.jobs}; read exactly once: {figures.done}")
    click.echo(f"  sent again         {figures.resent} by senders that found no row after 20 s")
    click.echo(
        f"  longest standstill {figures.longest_standstill_s:.1f} s without an end, after '{figures.standstill_after}'"
    )
    click.echo(f"  time               {figures.seconds:.0f} s")
    click.echo(f"  problems           {len(figures.problems)}")
    for problem in figures.problems[:20]:
        click.echo(f"    {problem}")


chaos()
