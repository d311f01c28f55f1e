"""What is durable: events, their owners and their workers, in Redis. Nothing else speaks to Redis."""
