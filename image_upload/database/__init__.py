"""Posts and file records: tables, the engine, migrations. Nothing of it is imported before a route needs it."""
