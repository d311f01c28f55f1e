"""``python -m ottoscaler``. Blocks the signals before anything slow is imported: as PID 1, a SIGTERM that
arrives unblocked and unhandled is ignored by the kernel, and the stop would be lost."""

import signal
import sys

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


def main() -> None:
    """The console script's entry, too. Ends the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        from ottoscaler.cli import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ottoscaler"):
            raise
        # A producer may have installed ottoscaler.client alone (docs/python.md).
        print(
            f"ottoscaler: the command line needs the package {error.name}, which is not installed: install "
            "Ottoscaler with its dependencies. Only ottoscaler.client does with redis alone.",
            file=sys.stderr,
        )
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
