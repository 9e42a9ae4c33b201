"""The dashboard: pages for people over the public API. `views.py` is its table."""
