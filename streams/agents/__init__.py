"""Faust agents: one per source topic, wiring only."""
