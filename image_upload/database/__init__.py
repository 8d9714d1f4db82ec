"""The database: tables, repositories, engine and migrations. It is imported by the first route that needs it."""
