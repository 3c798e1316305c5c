"""Fleets to try opskit on: an embedded engine, and real private Docker daemons."""

from opskit.demo.fleet import DemoFleet, start

__all__ = ["DemoFleet", "start"]
