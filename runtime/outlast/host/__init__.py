"""Putting the layers together in one process."""
