"""HTTP: who calls, which function or resource, and the answer."""
