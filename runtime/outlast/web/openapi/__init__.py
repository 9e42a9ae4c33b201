"""The OpenAPI 3.1 document: every function that is served, and the management routes."""
