"""The durable record that runs and runbooks write: what was done, by whom, with what outcome."""
