"""This instance among the others: what it claims, loads and takes from queues, and whose work it recovers."""
