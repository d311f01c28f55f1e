"""Which signals end the local cluster, and the demo on it."""

from __future__ import annotations

import signal


def stop_signals() -> set[signal.Signals]:
    """SIGINT, SIGTERM, and SIGHUP, which a closed terminal sends, unless ``nohup`` has it ignored."""
    found = {signal.SIGINT, signal.SIGTERM}
    return found if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else {*found, signal.SIGHUP}
