"""Forecast models: frames, candidates, backtests, the promotion gate, the registry and the scorer; replenishment policies."""
