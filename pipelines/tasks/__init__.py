"""Tasks: the question asked of a hospital's data, one a file."""
