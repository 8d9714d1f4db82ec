// Tries an operation in the page /docs, without a token and then with one: a JSON spec per line on stdin, a JSON outcome
// per line on stdout. README.md describes both.
import readline from 'node:readline'
import { chromium } from 'playwright-core'

// Only what hangs takes so long, however busy the machine is.
const LIMIT_MS = 120_000

async function tried(page) {
  await page.click('.opblock .execute')
  const status = page.locator('.live-responses-table .response .response-col_status')
  await status.waitFor()
  const shown = (await status.innerText()).trim().split(/\s/)[0]
  await page.click('.opblock .btn-clear')
  return Number(shown)
}

async function run(browser, spec) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 1000 } })
  context.setDefaultTimeout(LIMIT_MS)
  try {
    const page = await context.newPage()
    const crashes = []
    const log = []
    const requests = []
    page.on('pageerror', (error) => crashes.push(error.message))
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`))
    page.on('request', (request) => requests.push({ method: request.method(), url: request.url() }))
    const missing = []
    page.on('response', (response) => response.status() === 404 && missing.push(response.url()))
    await page.goto(spec.page, { waitUntil: 'load' })
    await page.waitForSelector('.scheme-container .btn.authorize')
    if (spec.picture) await page.screenshot({ path: spec.picture })
    await page.click(`[id$="-${spec.operation}"] .opblock-summary-control`)
    await page.click('.opblock .try-out__btn')
    const without = await tried(page)
    await page.click('.scheme-container .btn.authorize')
    await page.fill('.modal-ux input', spec.token)
    await page.click('.modal-ux button[type=submit]')
    await page.click('.modal-ux .btn-done')
    const authorized = await tried(page)
    return { title: await page.title(), without, authorized, requests, missing, log, crashes }
  } finally {
    await context.close()
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
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
