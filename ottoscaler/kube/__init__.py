"""Pods on the API server: requests, the watch, and the bounds of both. Nothing else speaks to Kubernetes."""
