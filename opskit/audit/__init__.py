"""Checks over a snapshot's views: one small pure function each, behind a registry."""
