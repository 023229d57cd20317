"""The contract: what plugins implement, and what they are handed."""
