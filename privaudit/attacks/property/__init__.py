"""Attacks on what the owner of a data set did not mean to disclose of it as a whole."""
