"""One execution of one workflow: its calls, what they came to, and in which order its body gets that."""
