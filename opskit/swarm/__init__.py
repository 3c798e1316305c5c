"""What the engines say: Docker contexts, transport, typed reads and the few writes."""
