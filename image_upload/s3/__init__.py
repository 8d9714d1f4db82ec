"""The S3 client: presigning, objects, multipart uploads, checksums, errors. No other package calls S3's API."""
