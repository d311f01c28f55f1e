"""The crash matrix: one event, and a fault at each of the service's outside calls in turn.

The event has three workers: one succeeds, one fails, and one's Pod is deleted by somebody else, so that it
is tried again. A reference run lists every Redis command and Kubernetes request of the service. Then, for
every call of that list and each fault that means something there, a sandbox of its own: the fault strikes
that very call, a killed process is started again (under its old name or, every other time, another one), and
the API server's audit and the streams are held to the invariants of docs/reliability.md.

    python -m tests.tools.crash_matrix [--every N] [--lanes N] [--row CALL] [--fault WORDS] [--gate]
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.tools.crash_matrix.faults import FAULTS
from tests.tools.crash_matrix.life import LANES, reference, rows, run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only each N-th row")
    parser.add_argument("--lanes", type=int, default=LANES, help="worlds at one time")
    parser.add_argument("--row", default="", help="only calls whose name contains this")
    parser.add_argument("--fault", default="", help=f"only faults with this in it: {', '.join(FAULTS)}")
    parser.add_argument("--gate", action="store_true", help="with OTTO_START_GATE")
    options = parser.parse_args()
    began = time.monotonic()
    calls = reference(gate=options.gate)
    matrix = [row for row in rows(calls, options.every, options.row) if options.fault in row.fault]
    print(f"{len(calls)} outside calls in the reference run; {len(matrix)} rows, {options.lanes} at a time")
    bad = idle = 0
    with ThreadPoolExecutor(options.lanes) as lanes:
        for outcome, _ in lanes.map(partial(run, gate=options.gate), matrix):
            print(outcome, flush=True)
            bad += bool(outcome.problems)
            idle += not outcome.struck
    print(
        f"{len(matrix)} rows: {len(matrix) - bad} green, {bad} red, "
        f"{idle} whose call did not come, {time.monotonic() - began:.0f} s"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
