"""The language of stack definitions: kinds of values, and every key with its range, default and sentence."""
