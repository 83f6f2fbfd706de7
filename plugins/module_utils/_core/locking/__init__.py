"""One run at a time in an environment."""
