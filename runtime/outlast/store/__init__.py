"""The database: schema, queries, connections."""
