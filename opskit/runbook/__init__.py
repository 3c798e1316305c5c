"""Runbooks: notebooks that are carried out, here or on a schedule, and leave a record."""
