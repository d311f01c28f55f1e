"""How the kernel schedules the service's threads, of which only one at a time holds the interpreter."""

from __future__ import annotations

import os
import random
from contextlib import suppress


def wake_without_preempting() -> None:
    """Let the thread that runs go on when the calling thread wakes, from now on (SCHED_BATCH).

    Each thread of the worker pool calls this first. Only one thread at a time holds the interpreter, so a
    woken thread that preempts its holder only waits for the interpreter: both switches are for nothing. They
    were a tenth to a quarter of a burst's CPU (docs/performance.md). All other threads preempt as usual, so
    that an event that comes to an idle replica does not wait for a CPU. A system that lacks or refuses it
    works as well. A policy that the operator chose stays.
    """
    with suppress(AttributeError, OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def keep_to_one_cpu() -> None:
    """Run on one of the CPUs that this process may use. Threads started later inherit it.

    Only one thread at a time holds the interpreter. On a CPU of its own, a thread that another one wakes does
    not run before that one waits, so it finds the interpreter free (docs/performance.md). It is chosen at
    random, so that several replicas on one node spread. A system that lacks or refuses this works as well.
    """
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
