"""``make chaos``: throw faults at both systems, print the figures; exit code 1 if anything was lost."""

from __future__ import annotations

import random
import signal
import statistics
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import click

from tests.chaos.run import Figures, Plan, Recovery, run_chaos
from tests.chaos.systems import ManyProcesses, OneMachine, find_faketime
from tests.support.disk import small_disk

DISK_MB = 256


@click.command()
@click.option("--scans", default=400, show_default=True, help="Dropped into the folder.")
@click.option("--jobs", default=300, show_default=True, help="Sent as messages.")
@click.option("--posts", default=300, show_default=True, help="Posted by HTTP.")
@click.option("--seed", type=int, help="Of an earlier run, to throw the same faults.")
@click.option(
    "--round", "round_", default=100, show_default=True, help="Scans after which all must end, without fault."
)
@click.option("--faults", default=3.0, show_default=True, help="Thrown a round, on average.")
@click.option("--freeze", default=5.0, show_default=True, help="Longest freeze or lock, long ones apart, seconds.")
@click.option("--patience", default=600.0, show_default=True, help="Seconds after which a round is given up.")
@click.option("--on", "which", type=click.Choice(["both", "one", "many"]), default="both", show_default=True)
@click.option("--minutes", default=600.0, show_default=True, help="After which no other round begins.")
@click.option("--clock/--no-clock", default=False, help="Set the time of all parts, too (needs libfaketime; slower).")
def chaos(
    scans: int, jobs: int, posts: int, seed: int | None, round_: int, faults: float, freeze: float, patience: float,
    minutes: float, which: str, clock: bool,
) -> None:  # fmt: skip
    """Throw faults at a running system and count what is lost, doubled or stuck."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if clock and not find_faketime():
        raise click.ClickException("libfaketime is not installed")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    plan = Plan(
        scans, jobs, seed, posts, round_, faults, freeze, patience_s=patience, most_s=60 * minutes, long_faults=True
    )
    held = True
    for name, kind in (("one", OneMachine), ("many", ManyProcesses)):
        if which in ("both", name):
            click.echo(f"{kind.name}; seed {plan.seed}")
            figures = _run(kind, plan, clock=clock)
            _print(figures)
            held &= not figures.problems
    sys.exit(0 if held else 1)


def _run(kind: type[OneMachine | ManyProcesses], plan: Plan, *, clock: bool) -> Figures:
    """Run on a small disk, which can be filled, where one may be mounted."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icr-chaos-")))
        (folder / "outbox").mkdir()
        try:
            disk = stack.enter_context(small_disk(DISK_MB))
            (folder / "home").symlink_to(disk)
        except PermissionError as error:
            click.echo(f"  no full disk: {error}")
            disk = None
        home = folder / "home"
        time_of_day = folder / "clock" if clock else None
        system = kind(home, disk=disk, clock=time_of_day, ICR_SCAN_ROOTS=str(folder / "outbox"))
        return run_chaos(system, plan, say=lambda line: click.echo(line, err=True))


def _print(figures: Figures) -> None:
    longest = max(figures.recoveries, default=Recovery(0.0, 0.0, "no fault"))
    longest_by_wall = max((each.wall_s for each in figures.recoveries), default=0.0)
    median = statistics.median([each.seconds for each in figures.recoveries] or [0.0])
    lines = {
        "faults thrown": f"{figures.faults.total()}: {_listed(figures.faults)}",
        "handed in": _listed(figures.handed_in),
        "ended once, right": f"{figures.ended}, {figures.refused} of them as files that nobody can read",
        "replaced by name": f"{figures.replaced} in the folder",
        "sent again": f"{figures.resent} messages; {figures.posted} posts in all, {figures.stalled} stalled",
        "until all ended": f"{median:.1f} s after a round's last fault (median of {len(figures.recoveries)})",
        "longest": f"{longest.seconds:.1f} s, after '{longest.fault}'; by the wall {longest_by_wall:.1f} s",
        "time": f"{figures.seconds:.0f} s",
        "problems": str(len(figures.problems)),
    }
    for name, text in lines.items():
        click.echo(f"  {name:<18} {text}")
    for problem in figures.problems[:50]:
        click.echo(f"    {problem}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


chaos()
