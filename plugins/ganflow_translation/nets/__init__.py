"""The networks of translation recipes, imported when one is built."""
