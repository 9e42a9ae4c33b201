"""What runs a workflow's body: its own event loop, or a thread for a `def` workflow."""
