"""Unit tests of the local cluster's parts."""
