"""What is measured: each module makes one section of the report."""
