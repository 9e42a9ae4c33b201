"""One execution of one workflow: the calls of its body, their results, and the order of delivery."""
