"""The four commands; each module has a coroutine `run(settings)`."""
