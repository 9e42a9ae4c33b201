"""Links through which people answer workflows: a page with a button, and what it sends."""
