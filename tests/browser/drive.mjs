// Runs uploads in one headless Chromium: a JSON spec per line on stdin, a JSON outcome per line on stdout.
// README.md describes both.
import readline from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { chromium } from 'playwright-core'

// Only what hangs takes so long, however busy the machine is.
const LIMIT_MS = 120_000
const POLL_MS = 20

const within = (promise, what) =>
  Promise.race([
    promise,
    delay(LIMIT_MS, undefined, { ref: false }).then(() => Promise.reject(new Error(`${what}: not within ${LIMIT_MS} ms`))),
  ])

async function until(condition, what) {
  const deadline = Date.now() + LIMIT_MS
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS} ms`)
    await delay(POLL_MS)
  }
}

// Every request the page makes, without preflights: Playwright does not report those.
function record(page) {
  const requests = []
  const entries = new Map()
  page.on('request', (request) => {
    const entry = { method: request.method(), url: request.url(), done: false }
    requests.push(entry)
    entries.set(request, entry)
  })
  const finish = async (request) => {
    const entry = entries.get(request)
    if (!entry) return
    try {
      entry.headers = await request.allHeaders()
      if (request.failure()) entry.failure = request.failure().errorText
      const response = await request.response()
      entry.status = response?.status()
      if (response && !entry.failure) entry.response = await response.text()
    } catch (error) {
      entry.unread = String(error)
    }
    entry.done = true
  }
  page.on('requestfinished', finish)
  page.on('requestfailed', finish)
  return requests
}

// Makes the first `times` requests of one method fail whose URL contains `match`. Not with Playwright's
// routes: while one is set, Playwright answers all preflights itself.
async function failSome(page, { match, method, how, times }) {
  const session = await page.context().newCDPSession(page)
  let left = times
  session.on('Fetch.requestPaused', async ({ requestId, request }) => {
    const answer =
      request.method !== method || left-- <= 0
        ? session.send('Fetch.continueRequest', { requestId })
        : how === 'reset'
          ? session.send('Fetch.failRequest', { requestId, errorReason: 'ConnectionReset' })
          : session.send('Fetch.fulfillRequest', {
              requestId,
              responseCode: how,
              // Without it the page would see a network error, not a status.
              responseHeaders: [{ name: 'Access-Control-Allow-Origin', value: '*' }],
            })
    await answer.catch(() => {}) // the page gave the request up meanwhile
  })
  await session.send('Fetch.enable', { patterns: [{ urlPattern: `*${match}*` }] })
}

async function slowDown(page, bytesPerSecond) {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: bytesPerSecond,
  })
}

// Uppy 6 leaves the bodies of refusals unread. Chromium counts such a request as under way, unless it may put the answer
// into its cache, which the service forbids.
function readEveryBody() {
  const plain = window.fetch
  window.fetch = async (...given) => {
    const response = await plain(...given)
    response.clone().text().catch(() => {})
    return response
  }
}

async function run(browser, spec) {
  const context = await browser.newContext()
  try {
    const page = await context.newPage()
    const log = []
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`))
    const crashes = []
    page.on('pageerror', (error) => crashes.push(error.message))
    await page.addInitScript(readEveryBody)
    await page.goto(spec.page)

    const requests = record(page)
    const quiet = () => requests.every((request) => request.done)
    if (spec.fail) await failSome(page, spec.fail)
    if (spec.bytesPerSecond) await slowDown(page, spec.bytesPerSecond)

    const sha256 = await page.evaluate((given) => harness.prepare(given), spec)
    await page.evaluate(() => harness.start())
    const result = page.evaluate(() => harness.result())
    if (spec.action === 'pause') {
      await within(Promise.race([page.evaluate(() => harness.acted), result]), 'the moment to pause')
      await until(quiet, 'the end of all requests after pausing')
      await page.evaluate(() => harness.resume())
    }
    const results = [await within(result, 'the result')]
    // A DELETE is sent without waiting for it: Uppy's promise has settled before.
    const deleted = () => requests.some((request) => request.method === 'DELETE')
    if (spec.deletes) await until(deleted, 'DELETE')
    if (spec.retry) results.push(await within(page.evaluate(() => harness.retry()), 'the second result'))
    await until(quiet, 'the end of all requests')
    return { sha256, results, requests, log, crashes }
  } finally {
    await context.close()
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Containers have no user namespaces for a sandbox, and the only page it opens is ours.
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
})
try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const outcome = await run(browser, JSON.parse(line)).catch((error) => ({ problem: String(error.stack ?? error) }))
    console.log(JSON.stringify(outcome))
  }
} finally {
  await browser.close()
}
