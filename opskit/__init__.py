"""opskit: see and safely change many small Docker Swarm servers."""
