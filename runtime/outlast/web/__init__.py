"""The HTTP face: routes, who calls, answers."""
