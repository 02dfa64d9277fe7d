"""What the status of a federation is read from, said in and drawn by."""
