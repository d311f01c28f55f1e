"""The local cluster as its users meet it: processes, faults, Redis, the command line, kubectl."""
