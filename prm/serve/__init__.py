"""A PRM behind HTTP, and what clients need to read one: `text` (ids and read positions, no weights), `app` (`prm serve`)."""
