"""The upload core: validate uploads, plan and sign them, and complete multipart uploads."""
