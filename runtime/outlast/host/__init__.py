"""The composition root: settings, processes, the embedded Postgres, and one instance of all floors."""
