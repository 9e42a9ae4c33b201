"""What runs a workflow's body: an event loop of its own, or for a `def` one a thread."""
