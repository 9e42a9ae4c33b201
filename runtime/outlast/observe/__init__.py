"""The log, and whoever else hears what is observed."""
