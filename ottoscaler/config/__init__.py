"""The settings: what they mean, how they are read, and which values are refused."""
