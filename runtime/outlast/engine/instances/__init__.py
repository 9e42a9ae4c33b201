"""This instance among the others: what it claims, takes from queues and loads, and whom it finds lost."""
