"""Privacy guarantees: accounting, and nothing else makes an epsilon."""
