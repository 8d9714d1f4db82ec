"""The form proxy: store the file of a form in S3, for clients that cannot reach S3."""
