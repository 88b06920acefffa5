"""The demo: the whole line on simulated receipts, checked by itself."""
