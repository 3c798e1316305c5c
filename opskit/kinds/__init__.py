"""Kinds of deploys, hooks and outcomes: one table each, which feeds every skin."""
