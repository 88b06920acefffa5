"""Superset: its configuration, the dashboards as files, and how they get there. `assets/` is Superset's own export format."""
