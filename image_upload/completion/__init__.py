"""What happens once bytes are in S3: the one `confirm` that every path calls, the sweep, events of Lambda."""
