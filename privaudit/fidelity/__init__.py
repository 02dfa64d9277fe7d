"""What two tables of records have in common: distances, copies, fidelity and utility."""
