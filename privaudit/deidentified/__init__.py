"""How well a de-identified table hides its patients: counts, estimates and an attack."""
