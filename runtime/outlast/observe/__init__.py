"""The log, and other listeners of observations."""
