"""What is known of the fleet: what files declare, joined with what engines say."""
