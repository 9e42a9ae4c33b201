"""Metrics: what the host has done, counted where it runs and shown to Prometheus."""
