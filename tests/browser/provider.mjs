// oidc-provider (certified by the OpenID Foundation) as the identity provider: node provider.mjs REDIRECT_URI
// Prints its issuer once it listens, and ends when stdin does. Whoever signs in as x is x@example.com.
import http from 'node:http'
import Provider from 'oidc-provider'

const [redirectUri] = process.argv.slice(2)
const server = http.createServer()
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'browser-tests',
        client_secret: 'a+secret%with&signs',
        redirect_uris: [redirectUri],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        token_endpoint_auth_method: 'client_secret_post',
      },
    ],
    pkce: { required: () => true },
    // By default it puts address and name behind its userinfo endpoint, not into the ID token.
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: `${id} of the provider` }),
    }),
    cookies: { keys: ['only for tests'] },
  })
  provider.on('server_error', (_, error) => console.error(error))
  server.on('request', provider.callback())
  console.log(issuer)
})
process.stdin.on('end', () => process.exit()).resume()
