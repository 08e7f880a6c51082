"""What the pytest plugin needs once it is used: doors, cache of results, report of a session."""
