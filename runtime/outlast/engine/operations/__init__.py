"""What bodies can call: a file for each kind of operation, and one table of them all."""
