"""One command a file. A file imports click alone until its command runs."""
