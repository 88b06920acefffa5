"""The promises between runtimes: events, topics, tables, features, windows, settings, errors. Stdlib, msgspec, pydantic only."""
