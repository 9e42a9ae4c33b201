"""The dashboard: pages over the public API, for who holds a secret key, and without values for a viewer's."""
