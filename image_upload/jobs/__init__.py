"""Jobs: work that takes longer than a request, its state in the bucket, and the route that shows it."""
