"""What bodies ask for: a file for each operation, and one table of them."""
