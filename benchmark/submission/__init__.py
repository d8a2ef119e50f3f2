"""Rows from elsewhere: what is checked before a result counts, how one is handed in, and how one is made again."""
