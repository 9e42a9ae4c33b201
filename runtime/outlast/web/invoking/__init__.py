"""Calls of functions: start or attach, wait, stream, answer."""
