"""What a producer says: how an event's fields are read, and what is told of a bad one. Pure functions."""
