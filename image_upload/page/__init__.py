"""The upload page of `GET /`, and the client module that it and other pages import from `/client.js`."""
