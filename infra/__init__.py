"""The edges: the command line, the local stack, containers and dashboards. Imports everything, and nothing imports it."""
