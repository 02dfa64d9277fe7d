"""A user's own tables and models, made fit for an audit."""
