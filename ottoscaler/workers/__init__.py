"""What runs for one worker, from creation to deletion, and what this replica remembers of its events."""
