"""The sample shop's books, which two templates ask: the database, and how questions become SQL and rows become sentences."""
