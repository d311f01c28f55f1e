"""Statements about the Pod API that hold for the local cluster and for a real one alike."""
