"""Attacks on the traffic at a split model's cut."""
