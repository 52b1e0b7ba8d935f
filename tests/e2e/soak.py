"""Load and faults at random, for as long as one likes, and the same comparison at the end. `scripts/soak` runs it."""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from scripts.stack.flink import FlinkCluster
from scripts.stack.kafka import Kafka
from scripts.stack.package import build
from scripts.stack.processes import StackError, until_stopped
from tests.e2e.drill import open_drill
from tests.e2e.faults import FAULTS, End

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.drill import Drill
    from tests.e2e.faults import Fault

say = partial(Console().print, highlight=False, markup=False, soft_wrap=True)

LONGEST_PAUSE = 5
TOGETHER_SHARE = 0.3
# Each job that is submitted leaves 37 MB of classes behind in its TaskManager.
CONFIG = {"taskmanager.memory.jvm-metaspace.size": "3g", "taskmanager.memory.process.size": "5g"}


def main(argv: Sequence[str]) -> int:
    """Run the soak; return 0 if points and dead letters are exactly those expected."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="how long to go on (default: 20)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="choose messages and faults by it")
    options = parser.parse_args(argv)
    say(f"Seed {options.seed}: `scripts/soak --minutes {options.minutes:g} --seed {options.seed}` does it again.")
    return until_stopped(lambda: told(options.minutes, options.seed), say)


def told(minutes: float, seed: int) -> int:
    """Run the soak; say what is wrong if a server or the job is."""
    try:
        return soak(minutes, seed)
    except StackError as error:
        say(f"{error}\nNOT as it should be, with seed {seed}.")
        return 1


def soak(minutes: float, seed: int) -> int:
    """Strike at random for so many minutes; return 0 if all is exact."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True)))
        kafka = stack.enter_context(Kafka())
        cluster = stack.enter_context(FlinkCluster(task_managers=1, slots=3, config=CONFIG))
        drill = stack.enter_context(open_drill(cluster, kafka, build(folder / "job.zip"), folder))
        drill.start()
        with drill.load(seed):
            drill.warm_up()
            slowest = strike_at_random(drill, random.Random(seed), time.monotonic() + 60 * minutes)  # noqa: S311
        outcome = drill.outcome(slowest)
    say(f"{'Exact' if outcome.is_exact else 'NOT as it should be'}, with seed {seed}: {outcome} at most.")
    return 0 if outcome.is_exact else 1


def strike_at_random(drill: Drill, rng: random.Random, deadline: float) -> float:
    """Bring about one fault, or two together, again and again; return the longest time of recovery in seconds."""
    slowest = 0.0
    while time.monotonic() < deadline:
        time.sleep(rng.uniform(0, LONGEST_PAUSE))
        faults = chosen(rng)
        seconds = drill.strike(*(fault.strike for fault in faults))
        slowest = max(slowest, seconds)
        names = " and ".join(fault.name for fault in faults)
        say(f"{time.strftime('%H:%M:%S')} {len(drill.produced):7} messages; {names}: recovered in {seconds:.1f} s")
    return slowest


def chosen(rng: random.Random) -> list[Fault]:
    """Return a fault, or one that lasts and a crash in its midst."""
    if rng.random() >= TOGETHER_SHARE:
        return [rng.choice(FAULTS)]
    lasting = [fault for fault in FAULTS if fault.lasts]
    return [rng.choice(lasting), rng.choice([fault for fault in FAULTS if fault.end is End.RESTARTED])]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
