"""From one release to another and back: plans, moves of the fleet, one host's part in them."""
