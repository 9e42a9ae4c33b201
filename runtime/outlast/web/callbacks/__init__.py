"""Links that people answer workflows by: a page with a button, and what it sends."""
