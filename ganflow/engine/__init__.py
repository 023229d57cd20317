"""The engine: games, their rounds, and the loop that plays them. No files, no network, no terminal."""
