"""Times in files: of events, of a day, their zones, and the order of days and months."""
