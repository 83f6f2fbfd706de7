"""The commands; each module has a coroutine `run(settings)`."""
