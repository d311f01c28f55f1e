"""What can be seen of the process from outside: logs, metrics, health.

Nothing in here knows the stages; they hand in what they see. Imports only model.
"""
