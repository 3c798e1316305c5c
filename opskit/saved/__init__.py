"""Snapshots as files: written as Parquet, read up to a limit, also those of format 1."""
