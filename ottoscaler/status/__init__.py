"""What Redis tells of an installation: for ``status`` and for the status page. Reads only."""
