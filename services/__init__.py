"""The services. Each imports `shared` and, of the others, only their `events` (checked by import-linter)."""
