"""Drills: the worker on real servers under what goes wrong, and the comparison that says whether anything was lost or doubled."""
