"""Runnable jobs, one a file: each takes a session and the settings, does its step once, and returns its report."""
