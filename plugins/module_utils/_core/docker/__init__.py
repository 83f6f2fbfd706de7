"""Docker and Compose as one host has them: command lines, and what they answer."""
