"""privaudit: a privacy audit for models trained on tabular health records."""

__version__ = "0.1.0"
