"""What an environment declares, as values, and where each part of it runs."""
