"""What numbers and times of a log mean: cents, hours of the day, and time zones."""
