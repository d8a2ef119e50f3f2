"""The ways to enter: a class in a file, a command of its own, and images somebody released already."""
