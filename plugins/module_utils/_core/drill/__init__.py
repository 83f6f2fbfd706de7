"""Faults on purpose, and the ledger that proves what became of acknowledged writes meanwhile."""
