"""HTTP itself: requests and answers as plain data, their sizes, paths and problems."""
