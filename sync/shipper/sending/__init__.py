"""What the decisions ask for, carried out: couriers, topics, the backlog."""
