"""The HTTP API: forecasts and replenishment orders from the online features and the champion model."""
