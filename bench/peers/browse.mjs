// One headless Chromium: a JSON task a line on stdin, its JSON outcome a line on stdout. Each task has a tab of its own.
import { readFile } from 'node:fs/promises'
import readline from 'node:readline'
import { chromium } from 'playwright-core'

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Containers have no user namespaces for a sandbox, and the only pages it opens are ours.
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
})
const devtools = await browser.newBrowserCDPSession()

// The resident memory of all tabs' processes in MiB.
async function residentMib() {
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo')
  const renderers = processInfo.filter(({ type }) => type === 'renderer')
  const sizes = await Promise.all(
    renderers.map(async ({ id }) => {
      const status = await readFile(`/proc/${id}/status`, 'utf8').catch(() => '')
      return Number(status.match(/VmRSS:\s+(\d+)/)?.[1] ?? 0)
    }),
  )
  return sizes.reduce((sum, each) => sum + each, 0) / 1024
}

// CPU seconds so far by kind of process: the browser, the tabs (renderer), the network service (utility).
async function cpuSeconds() {
  const { processInfo } = await devtools.send('SystemInfo.getProcessInfo')
  const seconds = {}
  for (const { type, cpuTime } of processInfo) seconds[type] = (seconds[type] ?? 0) + cpuTime
  return seconds
}

const tasks = {
  // Send a file of this machine, as a person who chooses it. Memory is read ten times a second.
  async send(page, { path, call }) {
    await page.setInputFiles('input', path)
    const before = await residentMib()
    const cpu = await cpuSeconds()
    const sent = page.evaluate(call)
    const samples = []
    const timer = setInterval(() => residentMib().then((size) => samples.push(size)), 100)
    try {
      const outcome = await sent
      for (const [type, seconds] of Object.entries(await cpuSeconds())) cpu[type] = seconds - (cpu[type] ?? 0)
      return { ...outcome, cpu, before, peak: Math.max(before, ...samples) }
    } finally {
      clearInterval(timer)
    }
  },
  run: (page, { call }) => page.evaluate(call),
  // What the first paint waits for, as the browser says it, and what is asked in all, with the bytes on the line.
  async paint(page, { url }) {
    const session = await page.context().newCDPSession(page)
    const sizes = new Map()
    const begun = []
    await session.send('Network.enable')
    session.on('Network.requestWillBeSent', ({ requestId, request }) => {
      if (request.url.startsWith('http')) begun.push([requestId, request.url])
    })
    session.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength))
    await page.goto(url, { waitUntil: 'networkidle' })
    const { paint, needed } = await page.evaluate(async () => {
      const [entry] = await new Promise((resolve) =>
        new PerformanceObserver((list) => resolve(list.getEntriesByName('first-contentful-paint'))).observe({
          type: 'paint',
          buffered: true,
        }),
      )
      const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
      const needed = entries.filter((each) => each.entryType === 'navigation' || each.renderBlockingStatus === 'blocking')
      return { paint: entry.startTime, needed: needed.map((each) => each.name) }
    })
    const requests = begun.map(([id, address]) => ({ address, bytes: sizes.get(id) ?? 0 }))
    return { paint, needed, requests }
  },
}

try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { task, ...given } = JSON.parse(line)
    const context = await browser.newContext()
    const outcome = await (async () => {
      const page = await context.newPage()
      page.setDefaultTimeout(60_000)
      if (given.page) await page.goto(given.page)
      return tasks[task](page, given)
    })().catch((error) => ({ problem: String(error.stack ?? error) }))
    await context.close()
    console.log(JSON.stringify(outcome))
  }
} finally {
  await browser.close()
}
