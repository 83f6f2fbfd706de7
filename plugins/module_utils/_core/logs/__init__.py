"""The journals of hosts on their way to the log store and to others, and how the store is asked."""
