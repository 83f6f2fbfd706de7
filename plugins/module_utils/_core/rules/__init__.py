"""From the user's input to a `Stack`, or to the complete list of what is wrong with it."""
