"""What a released file holds, read without running it."""
