"""Is the test split really unseen? Copies, groups, times and shortcuts shared with the training data."""
