// Signs people in, in one headless Chromium: a JSON spec per line on stdin, a JSON outcome per line on stdout.
// README.md describes both.
import readline from 'node:readline'
import { chromium } from 'playwright-core'

// Only what hangs takes so long, however busy the machine is.
const LIMIT_MS = 120_000

// What each provider asks of a person.
const answers = {
  async google(page, login) {
    await page.fill('input[name=login]', login)
    await page.fill('input[name=password]', 'any')
    await page.click('button[type=submit]')
    await page.click('button[type=submit]:has-text("Continue")')
  },
  async github(page) {
    await page.click('button[name=agreed]')
  },
}

async function run(browser, spec) {
  const context = await browser.newContext()
  context.setDefaultTimeout(LIMIT_MS)
  try {
    const page = await context.newPage()
    const crashes = []
    page.on('pageerror', (error) => crashes.push(error.message))
    const requests = []
    page.on('request', async (request) => {
      const entry = { method: request.method(), url: request.url(), type: request.resourceType() }
      requests.push(entry)
      entry.referrer = (await request.allHeaders().catch(() => ({}))).referer ?? ''
    })
    await page.goto(spec.page, { waitUntil: 'domcontentloaded' })
    await page.click(`#${spec.provider}`)
    await answers[spec.provider](page, spec.login)
    await page.waitForURL((url) => url.href.startsWith(spec.callback), { waitUntil: 'load' })
    const arrived = page.url()
    const outcome = await page.evaluate((given) => window.outcome(given), spec)
    return { ...outcome, arrived, left: page.url(), cookies: await context.cookies(spec.callback), requests, crashes }
  } finally {
    await context.close()
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    // The provider's own pages want a font from elsewhere.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
})
try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const outcome = await run(browser, JSON.parse(line)).catch((error) => ({ problem: String(error.stack ?? error) }))
    console.log(JSON.stringify(outcome))
  }
} finally {
  await browser.close()
}
