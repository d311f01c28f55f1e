"""Ottoscaler: events on a Redis Stream become worker Pods on Kubernetes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name):
        """Read the version when it is first asked for: __main__ blocks the signals after this import."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("ottoscaler")  # the tag's, when this was installed (docs/releases.md)
        except PackageNotFoundError:  # a source folder on the path, installed nowhere
            return "0.0.0+unversioned"
