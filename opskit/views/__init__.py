"""DataFrames over a snapshot: pure functions of its facts, one per noun."""
