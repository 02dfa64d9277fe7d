"""Evidence that outlives a run: sums, statements, signatures, and their verification."""
