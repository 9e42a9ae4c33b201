"""The HTTP face: routes, authentication, the dashboard."""
