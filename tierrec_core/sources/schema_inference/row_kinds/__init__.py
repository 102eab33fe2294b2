"""What the rows of a log are: events, returns, parts of a product, and rows that are left out."""
