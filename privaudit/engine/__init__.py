"""Plan, train, attack, store."""
