// One headless Chromium: a JSON command a line on stdin, its JSON result a line on stdout.
import readline from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { chromium } from 'playwright-core'

// Only what hangs takes so long, however busy the machine is.
const LIMIT_MS = 120_000

const within = (promise) =>
  Promise.race([
    promise,
    delay(LIMIT_MS, undefined, { ref: false }).then(() => Promise.reject(new Error(`not within ${LIMIT_MS} ms`))),
  ])

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Containers have no user namespaces for a sandbox, and the only page it opens is ours.
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
})

let context
const tabs = new Map()
const crashes = []
const log = []

const commands = {
  async begin() {
    context = await browser.newContext()
  },
  async open({ tab, url, init }) {
    const page = await context.newPage()
    page.setDefaultTimeout(LIMIT_MS)
    page.on('pageerror', (error) => crashes.push(error.message))
    page.on('console', (message) => log.push(`${tab} ${message.type()}: ${message.text()}`))
    if (init) await page.addInitScript(init)
    tabs.set(tab, page)
    await page.goto(url)
  },
  evaluate: ({ tab, code }) => tabs.get(tab).evaluate(`(async () => { ${code} })()`),
  // In a tab behind another one there are no frames to wait for, so it asks again and again.
  async until({ tab, code }) {
    const found = await tabs.get(tab).waitForFunction(code, undefined, { polling: 20 })
    return found.jsonValue()
  },
  choose: ({ tab, files }) => tabs.get(tab).setInputFiles('input[type=file]', files),
  // A real drop, of folders, too: only the DevTools protocol has it.
  async drop({ tab, files }) {
    const session = await context.newCDPSession(tabs.get(tab))
    const data = { items: [], files, dragOperationsMask: 1 }
    for (const type of ['dragEnter', 'dragOver', 'drop'])
      await session.send('Input.dispatchDragEvent', { type, x: 40, y: 40, data })
  },
  reload: ({ tab }) => tabs.get(tab).reload(),
  offline: ({ on }) => context.setOffline(on),
  close: ({ tab }) => tabs.get(tab).close(),
  async end() {
    await context.close()
    tabs.clear()
    return { crashes: crashes.splice(0), log: log.splice(0) }
  },
}

try {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...given } = JSON.parse(line)
    const answer = await within(commands[command](given)).then(
      (value) => ({ value }),
      (error) => ({ problem: `${error.stack ?? error}\n${log.join('\n')}` }),
    )
    console.log(JSON.stringify(answer))
  }
} finally {
  await browser.close()
}
