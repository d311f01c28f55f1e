"""The API server of the embedded cluster: Pods, watches, and faults on demand."""
