"""``python -m ottoscaler``. Blocks the signals before anything slow is imported: as PID 1, a SIGTERM that
arrives unblocked and unhandled is ignored by the kernel, and the stop would be lost."""

import signal

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def main() -> None:
    """The console script's entry, too. Ends the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    from ottoscaler.cli import run

    run()


if __name__ == "__main__":
    main()
