"""What keeps opskit from working here, or with a server, and the command that mends it."""
