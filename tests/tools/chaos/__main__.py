"""Chaos: three real replicas, and everything around them dies, freezes, hangs and comes back at random.

    python -m tests.tools.chaos --minutes 30 --seed 7
    python -m tests.tools.chaos --moves kill,freeze,trim

Moves and events follow from the seed alone; only how they meet is the machine's. At the end the moves stop,
the work is given time to end, and the API server's audit, the streams and what is left in Redis are held to
the invariants of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.tools.chaos.moves import MOVES
from tests.tools.chaos.run import EVENTS, chaos


def _moves(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    unknown = [name for name in names if name not in MOVES]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(MOVES)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument(
        "--moves", type=_moves, default=tuple(MOVES), help=f"of {', '.join(MOVES)} (default: all)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the replicas"
    )
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    settings = dict(one.split("=", 1) for one in options.set)
    report = chaos(seed, options.minutes * 60, options.events, options.moves, **settings)
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
