"""Feature spaces put to the test: images made worse in known ways, and whether FID notices."""
