"""Waits on this instance: for the end of a workflow, for messages, events and places under limits."""
