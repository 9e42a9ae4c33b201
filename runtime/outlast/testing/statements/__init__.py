"""The statements of the store, on the in-memory database."""
