"""The machinery of measuring: processes, load, rounds, report."""
