"""The systems: what each of them descends."""
