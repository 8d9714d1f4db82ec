"""Everything that speaks S3. Nothing outside this room does."""
