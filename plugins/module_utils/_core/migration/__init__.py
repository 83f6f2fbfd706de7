"""Changes of a schema as numbered files: judged, planned, run."""
