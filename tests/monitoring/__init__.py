"""Alerts and dashboard, with a real Prometheus and a real Alertmanager."""
