"""Uploads that go on after an interruption, of any client and through any process: tus and the IETF protocol."""
