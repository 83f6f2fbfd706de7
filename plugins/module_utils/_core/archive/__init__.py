"""What is no database, saved and brought back: Redis, volumes, certificates and secrets, by restic."""
