"""Ottoscaler: events on a Redis Stream become worker Pods on Kubernetes."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ottoscaler")  # the tag's, as it was when this was installed (docs/releases.md)
except PackageNotFoundError:  # a source folder on the path, installed nowhere
    __version__ = "0.0.0+unversioned"
