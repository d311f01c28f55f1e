"""The benchmark (``make bench``): what the service costs beside what any program would have to do."""
