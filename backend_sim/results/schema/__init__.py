"""The schema of results: what every field is, and how it is shown."""
