"""What happens once bytes are in S3: the one `finish` that every path calls, the sweep, events of Lambda."""
