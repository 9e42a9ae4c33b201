"""What Outlast costs, measured: one harness, one report. `make bench` runs it."""
