"""Fleets to try opskit on: an embedded engine, and real private Docker daemons."""
