"""What each statement of the store does, on the database in memory."""
