"""Workflows as resources: list, show, cancel, send, follow; health."""
