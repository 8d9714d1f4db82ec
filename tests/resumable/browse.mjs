// One upload in headless Chromium: the spec is the first argument, the outcome a line of JSON.
// With `stopAtBytes` the page is loaded again once so many bytes were sent, and the same file chosen again.
import { chromium } from 'playwright-core'

const spec = JSON.parse(process.argv[2])
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] })
try {
  const context = await browser.newContext()
  const page = await context.newPage()
  const requests = []
  page.on('response', (response) => {
    const request = response.request()
    if (request.url().startsWith(spec.service)) requests.push([request.method(), response.status()])
  })
  const address = `${spec.page}?service=${encodeURIComponent(spec.service)}`
  await page.goto(address)
  if (spec.stopAtBytes) {
    const reached = new Promise((resolve) => page.exposeFunction('reached', resolve))
    await page.waitForFunction(() => globalThis.reached)
    page.evaluate((given) => globalThis.send(given), spec).catch(() => {})
    await reached
    await page.goto(address)
  }
  const given = { ...spec, stopAtBytes: null }
  const outcome = await page.evaluate((each) => globalThis.send(each).catch((e) => ({ error: String(e) })), given)
  console.log(JSON.stringify({ ...outcome, requests }))
} finally {
  await browser.close()
}
