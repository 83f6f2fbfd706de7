"""Data that are about people: masked copies, retention, a subject's export and erasure."""
