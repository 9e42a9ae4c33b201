"""Running functions: workers, steps, retries, recovery."""
