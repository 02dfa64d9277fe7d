"""ICU sources: tables, cohort, variables, features."""
