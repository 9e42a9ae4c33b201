"""A Postgres server for the project, for development without Supabase: started on demand, shared, kept."""

from outlast.host.embedded.errors import EmbeddedPostgresError as EmbeddedPostgresError
from outlast.host.embedded.server import EmbeddedPostgres as EmbeddedPostgres
