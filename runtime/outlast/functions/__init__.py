"""Finding, loading and describing the functions of a project."""
