"""The stores in SQL databases: SQLite and PostgreSQL, through SQLAlchemy."""
