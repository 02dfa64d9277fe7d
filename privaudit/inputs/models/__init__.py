"""Models that a user supplies, one file format a module."""
