"""Notebooks as files: shipped, begun, run without anybody watching, and edited in a lab."""
