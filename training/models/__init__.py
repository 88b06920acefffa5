"""Candidates: one module a model, all of them `training.models.base.Candidate`."""
