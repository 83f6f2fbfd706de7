"""Which images a stack needs; how they are built, kept in its registry, and pulled."""
