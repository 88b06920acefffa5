"""The containers: what their one-shots do before the services start."""
