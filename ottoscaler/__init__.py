"""Ottoscaler: events on a Redis Stream become worker Pods on Kubernetes."""

__version__ = "0.1.0"
