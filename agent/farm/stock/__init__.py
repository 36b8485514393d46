"""The fish: what is in each tank, what it ate, how it grows and dies."""
