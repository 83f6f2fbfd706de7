"""Backups of PostgreSQL by pgBackRest: made, proven by restoring them, and the ways back to a moment."""
