// The front end's page: two buttons, and what follows a sign-in. `documented-sign-in.mjs` is the code of docs/sign-in.md.
import { comeBack, renew, signIn, signOut } from './documented-sign-in.mjs'

const service = new URLSearchParams(location.hash.slice(1)).get('service') ?? sessionStorage.getItem('service')
sessionStorage.setItem('service', service)
globalThis.SERVICE = service

for (const provider of ['google', 'github']) {
  document.getElementById(provider).onclick = () => signIn(provider)
}

async function call(token, method, path, body) {
  const headers = { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }) }
  const answer = await fetch(`${service}${path}`, { method, headers, body: body && JSON.stringify(body) })
  return { status: answer.status, document: await answer.json() }
}

// Stores a picture as the user who came back, and reads it; or reads what somebody else has stored.
async function use(tokens, spec) {
  if (spec.read) return { read: (await call(tokens.access_token, 'GET', `/images/${spec.read}`)).status }
  const picture = Uint8Array.from(spec.picture)
  const wish = { filename: 'me.jpg', contentType: 'image/jpeg', size: picture.length, purpose: 'profile' }
  const plan = (await call(tokens.access_token, 'POST', '/uploads', wish)).document
  const stored = await fetch(plan.presignedUrl, { method: 'PUT', headers: plan.headers, body: picture })
  const read = await call(tokens.access_token, 'GET', `/images/${plan.objectKey}`)
  return { key: plan.objectKey, stored: stored.status, read: read.status }
}

window.outcome = async (spec) => {
  try {
    const first = await comeBack()
    const tokens = await renew(first.refresh_token)
    const used = await use(tokens, spec)
    const me = (await call(tokens.access_token, 'GET', '/auth/me')).document
    await signOut(tokens.refresh_token)
    const after = await renew(tokens.refresh_token).catch((error) => error.message)
    return { ...used, me, user: first.user, after, secrets: [first, tokens].map((each) => each.refresh_token) }
  } catch (error) {
    return { error: error.message }
  }
}
