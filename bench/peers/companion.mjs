// Companion's own standalone server. Its own starter listens on every address of the machine; this one does not.
import standalone from '../node_modules/@uppy/companion/lib/standalone/index.js'

// The rest of its settings are in the environment, where it has no name for the session token.
const { app } = standalone({ s3: { sessionToken: process.env.AWS_SESSION_TOKEN } })
app.listen(Number(process.env.PORT), '127.0.0.1')
