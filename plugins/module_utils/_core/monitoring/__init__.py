"""What Prometheus, Alertmanager and dashboards are told, and what is told to others."""
