"""What sensors say of the water, and what follows from it."""
