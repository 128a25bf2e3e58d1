"""Database servers that the tests start for themselves."""
