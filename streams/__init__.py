"""Kafka in and out: producers, the Faust worker that keeps the streaming feature views, dead letters."""
