"""Whether a new pool is good enough for more traffic: measured, compared, decided."""
