"""Which column of a file has which role, by its name, its content and the recurrence of its values."""
