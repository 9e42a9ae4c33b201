"""Who waits on this instance for the end of a workflow, or for a message."""
