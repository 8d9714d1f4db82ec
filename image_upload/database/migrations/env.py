"""Alembic's entry point. It migrates on the connection and in the transaction of `migration.migrate`."""

from alembic import context

from image_upload.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
