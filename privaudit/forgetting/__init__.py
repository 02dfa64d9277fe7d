"""Whether a model has forgotten patients whose records were to be unlearnt."""
