"""The engine: runs workflows, their steps, retries and recovery."""
