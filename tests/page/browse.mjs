// Uses the page in one headless Chromium: a JSON spec per line on stdin, a JSON outcome per line on stdout.
// A spec names a `scenario` of this file, the `page`, options of the browser's `context`, and what the scenario takes.
import { createRequire } from 'node:module'
import { readFile } from 'node:fs/promises'
import readline from 'node:readline'
import { chromium } from 'playwright-core'

// Only what hangs takes so long, however busy the machine is.
const LIMIT_MS = 120_000
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

// Everything that the live region says, in its order.
function listen() {
  window.spoken = []
  addEventListener('DOMContentLoaded', () => {
    const live = document.getElementById('live')
    const heard = () => live.textContent && window.spoken.push(live.textContent)
    if (live) new MutationObserver(heard).observe(live, { childList: true })
  })
}

const spoken = (page) => page.evaluate(() => window.spoken)
const heard = (page, text) => page.waitForFunction((text) => window.spoken.some((each) => each.includes(text)), text)
const ready = (page) => page.waitForSelector('#add:not([hidden])')
const listed = (page) => page.waitForSelector('#stored:not([hidden])[aria-busy=false]')
const choose = (page, files) => page.setInputFiles('#choose', files)
const states = (page) => page.$$eval('#rows .row', (rows) => rows.map((row) => [row.querySelector('.name').textContent, row.dataset.state]))
const until = (page, name, state) => page.waitForFunction(
  ([name, state]) => [...document.querySelectorAll('#rows .row')].some((row) => row.dataset.state === state && row.querySelector('.name').textContent === name),
  [name, state],
)
const tile = (page, name) => page.locator('.tile', { has: page.locator(`.name:text-is("${name}")`) })
const focused = (page) => page.evaluate(() => {
  const at = document.activeElement
  return at.ariaLabel || at.id || at.textContent.trim()
})
const file = (name, size, mimeType = 'application/octet-stream') => ({ name, mimeType, buffer: Buffer.alloc(size, name) })

const sessions = new WeakMap()

async function bytesPerSecond(page, uploadThroughput) {
  const session = sessions.get(page) ?? (await page.context().newCDPSession(page))
  sessions.set(page, session)
  await session.send('Network.enable')
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput })
}

async function violations(page) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
  return found.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`)
}

// What a state looks like to axe, and whether anything is too wide or too small.
async function looked(page) {
  const [tooWide, tooSmall] = await page.evaluate(() => {
    const small = [...document.querySelectorAll('button, select, input:not(.unseen), label.button')].filter((each) => {
      const { width, height } = each.getBoundingClientRect()
      return width && (width < 24 || height < 24)
    })
    return [document.documentElement.scrollWidth - innerWidth, small.map((each) => each.outerHTML)]
  })
  return { violations: await violations(page), tooWide: Math.max(0, tooWide), tooSmall }
}

const scenarios = {
  // Chooses files, waits until they are stored, and reads the page after a reload.
  async store(page, { files }) {
    await ready(page)
    await listed(page)
    const empty = await page.isVisible('#empty')
    await choose(page, files)
    for (const each of files) await until(page, each.split('/').at(-1), 'stored')
    await page.waitForFunction(() => document.querySelectorAll('#rows canvas').length === document.querySelectorAll('#rows .row').length)
    await heard(page, 'are stored')
    const said = await spoken(page)
    const summary = await page.textContent('#summary')
    await page.reload()
    await listed(page)
    await page.waitForFunction((count) => document.querySelectorAll('.tile img').length === count, files.length)
    const names = await page.$$eval('.tile .name', (found) => found.map((each) => each.textContent))
    return { empty, said, summary, names, pictures: await page.$$eval('.tile img', (found) => found.map((each) => each.naturalWidth)) }
  },

  // Chooses a file for each purpose that the page offers.
  async purposes(page, { files }) {
    await ready(page)
    const offered = await page.$$eval('#purpose option', (found) => found.map((each) => each.value))
    const texts = []
    for (const [index, purpose] of offered.entries()) {
      await page.selectOption('#purpose', purpose)
      texts.push(await page.textContent('#purpose-text'))
      await choose(page, files[index])
      await until(page, files[index].split('/').at(-1), 'stored')
    }
    return { offered, texts }
  },

  // With the keyboard alone: choose, pause, go on, remove, and delete what is stored.
  async keyboard(page, { files }) {
    // Before the key: else a real dialog opens.
    const chooser = page.waitForEvent('filechooser')
    await ready(page)
    await listed(page)
    await page.keyboard.press('Tab')
    const first = await focused(page)
    await page.keyboard.press('Enter')
    await bytesPerSecond(page, 2_000)
    await (await chooser).setFiles(files)
    const afterChoosing = await focused(page)
    const name = files[0].split('/').at(-1)
    await page.waitForSelector(`button[aria-label="Pause ${name}"]:not([hidden])`)
    const walk = async (label) => {
      for (let steps = 0; steps < 40 && (await focused(page)) !== label; steps++) await page.keyboard.press('Tab')
      return focused(page)
    }
    await until(page, name, 'sending')
    const passed = [await walk(`Pause ${name}`)]
    await page.keyboard.press('Enter')
    await until(page, name, 'paused')
    passed.push(await focused(page))
    await bytesPerSecond(page, -1)
    await page.keyboard.press('Space')
    await until(page, name, 'stored')
    const afterEnd = await focused(page)
    await page.waitForSelector('.tile')
    passed.push(await walk(`Remove ${name}`))
    await page.keyboard.press('Enter')
    const afterRemoval = await focused(page)
    passed.push(await walk(`Delete ${name}`))
    await page.keyboard.press('Enter')
    const inDialog = await focused(page)
    await page.keyboard.press('Escape')
    const afterEscape = await focused(page)
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.waitForSelector('.tile', { state: 'detached' })
    await heard(page, `${name} deleted.`)
    return { first, afterChoosing, passed, afterEnd, afterRemoval, inDialog, afterEscape, afterDeletion: await focused(page), said: await spoken(page) }
  },

  // What can be done with a stored file.
  async manage(page, { files }) {
    await ready(page)
    await choose(page, files)
    const name = files[0].split('/').at(-1)
    await until(page, name, 'stored')
    await page.reload()
    await tile(page, name).waitFor()
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await tile(page, name).getByRole('button', { name: `Copy link to ${name}` }).click()
    await page.waitForSelector('#toast.shown')
    const toast = await page.textContent('#toast')
    const link = await page.evaluate(() => navigator.clipboard.readText())
    const download = page.waitForEvent('download')
    await tile(page, name).getByRole('button', { name: `Download ${name}` }).click()
    const saved = await download
    const content = await readFile(await saved.path())
    await tile(page, name).getByRole('button', { name: `Show ${name}` }).click()
    const shown = await page.waitForSelector('#viewed img')
    await shown.evaluate((image) => image.decode())
    await page.click('#viewer button')
    return { toast, link, savedAs: saved.suggestedFilename(), saved: [...content] }
  },

  // Files that a purpose does not take.
  async refused(page) {
    await ready(page)
    const minted = []
    page.on('request', (request) => request.method() === 'POST' && minted.push(request.url()))
    await choose(page, [file('notes.txt', 20, 'text/plain'), file('empty.jpg', 0, 'image/jpeg'), file('large.jpg', 10 * 2 ** 20 + 1, 'image/jpeg')])
    const notice = await page.innerText('#refused')
    const before = [...minted]
    await choose(page, [file('notes.txt', 20, 'text/plain')])
    await page.click('#refused button:text("Send as document")')
    await until(page, 'notes.txt', 'stored')
    await page.selectOption('#purpose', 'audio')
    await choose(page, [file('voice.mp3', 20, 'audio/mpeg')])
    const asksFor = await page.$eval('#needs-class_id', (field) => field.validationMessage)
    await page.fill('#needs-class_id', 'class 1')
    await choose(page, [file('voice.mp3', 20, 'audio/mpeg')])
    await page.waitForSelector('.row:has(.name:text-is("voice.mp3"))')
    return { notice, before, asksFor, accept: await page.getAttribute('#choose', 'accept') }
  },

  // Files, and a folder, are dragged over the page as from the desktop, and dropped.
  async dropped(page, { files, folder, purpose, count }) {
    await ready(page)
    await listed(page)
    const session = await page.context().newCDPSession(page)
    const drag = (type, paths) =>
      session.send('Input.dispatchDragEvent', { type, x: 500, y: 300, data: { items: [], files: paths, dragOperationsMask: 1 } })
    const veil = (state) => page.waitForSelector('#veil', { state })
    await drag('dragEnter', files)
    await drag('dragOver', files)
    await veil('visible')
    // The protocol's own cancelling tells the page nothing.
    await page.evaluate(() => document.body.dispatchEvent(new DragEvent('dragleave', { bubbles: true })))
    await veil('hidden')
    await page.selectOption('#purpose', purpose)
    for (const paths of [files, [folder]]) {
      await drag('dragEnter', paths)
      await drag('dragOver', paths)
      await veil('visible')
      await drag('drop', paths)
      await veil('hidden')
    }
    await page.waitForFunction((count) => document.querySelectorAll('#rows :is([data-state=stored], [data-state=failed])').length === count, count)
    return { states: await states(page) }
  },

  // A picture is pasted from the clipboard, then two at once.
  async pasted(page) {
    await ready(page)
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(40, 30)
      canvas.getContext('2d').fillRect(0, 0, 20, 20)
      const picture = await canvas.convertToBlob()
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': picture })])
      window.two = ['one.png', 'two.png'].map((name) => new File([picture], name, { type: 'image/png' }))
    })
    await page.keyboard.press('Control+V')
    await page.waitForSelector('#rows [data-state=stored]')
    const one = await states(page)
    await page.evaluate(() => {
      const clipboardData = new DataTransfer()
      for (const each of window.two) clipboardData.items.add(each)
      document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))
    })
    await page.waitForFunction(() => document.querySelectorAll('#rows [data-state=stored]').length === 3)
    return { one, all: await states(page) }
  },

  // A phone's camera: the button for it is there where pictures are taken.
  async photographed(page, { files }) {
    await ready(page)
    const button = page.locator('label:has(#photograph)')
    const shown = [await button.isVisible()]
    await page.selectOption('#purpose', 'document')
    shown.push(await button.isVisible())
    await page.selectOption('#purpose', 'upload')
    const opened = page.waitForEvent('filechooser')
    await button.tap()
    const chooser = await opened
    const asked = await chooser.element().evaluate((input) => [input.accept, input.getAttribute('capture'), input.multiple])
    await chooser.setFiles(files)
    await page.waitForSelector('#rows [data-state=stored]')
    return { shown, asked, states: await states(page) }
  },

  // What a reload loads for the thumbnails of stored pictures.
  async thumbnails(page, { files }) {
    await ready(page)
    await choose(page, files)
    for (const each of files) await until(page, each.split('/').at(-1), 'stored')
    const loaded = []
    let hold = true
    const held = []
    await page.route('**/variants/**', (route) => (hold ? held.push(route) : route.continue()))
    page.on('response', (response) => response.request().resourceType() === 'image' && loaded.push(new URL(response.url()).pathname))
    await page.reload()
    // The pictures are on their way.
    await page.waitForFunction((count) => document.querySelectorAll('.tile canvas').length === count, files.length)
    const colours = await page.$$eval('.tile canvas', (found) => found.map((each) => [...each.getContext('2d').getImageData(each.width >> 1, each.height >> 1, 1, 1).data]))
    hold = false
    for (const route of held) await route.continue()
    await page.waitForFunction((count) => document.querySelectorAll('.tile img').length === count, files.length)
    const widths = await page.$$eval('.tile img', (found) => found.map((each) => each.naturalWidth))
    return { loaded, colours, widths, names: await page.$$eval('.tile .name', (found) => found.map((each) => each.textContent)) }
  },

  // The service refuses once, and takes it when it is tried again.
  async retried(page, { problem }) {
    await ready(page)
    await page.selectOption('#purpose', 'file')
    await page.route('**/uploads', (route) => route.fulfill({ status: problem.status, contentType: 'application/problem+json', body: JSON.stringify(problem) }))
    await choose(page, [file('one.bin', 1000)])
    await until(page, 'one.bin', 'failed')
    const failed = await page.innerText('.row .quiet')
    await page.unroute('**/uploads')
    await page.click('button[aria-label="Try one.bin again"]')
    await until(page, 'one.bin', 'stored')
    await heard(page, 'is stored')
    return { failed, said: await spoken(page) }
  },

  // A large file is interrupted by a reload, and goes on when it is chosen again.
  async resumed(page, { path }) {
    await ready(page)
    await page.selectOption('#purpose', 'file')
    const [, stored] = [await choose(page, [path]), page.waitForResponse((response) => response.request().method() === 'PUT' && response.ok())]
    await stored
    await page.waitForFunction(() => document.querySelector('#rows progress').value > 0.1)
    page.on('dialog', (dialog) => dialog.accept())
    await page.reload()
    await page.waitForSelector('#unfinished:not([hidden])')
    const said = await page.innerText('#unfinished .row')
    const parts = []
    page.on('request', (request) => request.method() === 'PUT' && parts.push(request.url()))
    await page.setInputFiles('#unfinished input', [path])
    await page.waitForSelector('#rows [data-state=stored]')
    await page.waitForSelector('#unfinished', { state: 'hidden' })
    return { said, partsSentAgain: parts.length }
  },

  async offline(page) {
    await ready(page)
    await page.context().setOffline(true)
    await page.waitForSelector('#offline')
    await page.selectOption('#purpose', 'file')
    await choose(page, [file('one.bin', 1000)])
    await page.waitForSelector('#rows .row:is([data-state=offline], [data-state=waiting])')
    await page.context().setOffline(false)
    await page.waitForSelector('#offline', { state: 'detached' })
    await until(page, 'one.bin', 'stored')
    await heard(page, 'is stored')
    return { said: await spoken(page) }
  },

  async down(page) {
    await page.waitForSelector('#down')
    const notice = await page.innerText('#down')
    await page.unroute('**/purposes')
    await page.click('#down button')
    await ready(page)
    return { notice, gone: await page.locator('#down').count() === 0 }
  },

  // A thousand files that the service does not answer for yet.
  async thousand(page) {
    await ready(page)
    await page.selectOption('#purpose', 'file')
    await page.route('**/uploads', () => {})
    const took = await page.evaluate(async () => {
      const dropped = new DataTransfer()
      for (let each = 0; each < 1000; each++) dropped.items.add(new File([new Uint8Array(1000)], `scan-${each}.bin`))
      const began = performance.now()
      dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, cancelable: true }))
      await new Promise((resolve) => {
        const look = () => (document.querySelectorAll('#rows .row').length === 1000 ? resolve() : requestAnimationFrame(look))
        look()
      })
      return performance.now() - began
    })
    await page.click('#batch-pause')
    await page.waitForFunction(() => document.querySelectorAll('#rows [data-state=paused]').length === 1000)
    return { took, said: await spoken(page), pageHeight: await page.evaluate(() => document.documentElement.scrollHeight) }
  },

  // A token is typed in where there is no sign-in.
  async token(page, { token }) {
    await page.waitForSelector('#token-form:not([hidden])')
    const hidden = await page.isHidden('#add')
    await page.fill('#token', 'wrong')
    await page.keyboard.press('Enter')
    await page.waitForSelector('#ended')
    const refused = await page.innerText('#ended')
    await page.fill('#token', token)
    await page.keyboard.press('Enter')
    await ready(page)
    const kept = await page.evaluate(() => [sessionStorage.length, localStorage.length])
    await page.reload()
    await ready(page)
    const keptAfterReload = await page.evaluate(() => [sessionStorage.length, localStorage.length])
    await page.click('#account button')
    await page.waitForSelector('#sign-in:not([hidden])')
    await page.reload()
    await page.waitForSelector('#sign-in:not([hidden])')
    return { hidden, refused, kept, keptAfterReload }
  },

  async signIn(page) {
    await page.click('#providers button')
    await page.click('button[name=agreed]')
    await ready(page)
    const here = await page.innerText('#account')
    const address = page.url()
    await page.selectOption('#purpose', 'profile')
    await choose(page, [file('me.png', 500, 'image/png')])
    await page.waitForSelector('#rows .row:is([data-state=stored], [data-state=failed])')
    const found = await states(page)
    await page.click('#account button')
    await page.waitForSelector('#sign-in:not([hidden])')
    return { here, address, states: found, left: await states(page) }
  },

  // Looks at the states one after the other.
  async look(page, { files, states: wanted }) {
    const found = {}
    await page.waitForSelector('#add:not([hidden]), #sign-in:not([hidden]), #down')
    if (wanted === 'first') return { first: await looked(page) }
    await listed(page)
    found.empty = await looked(page)
    await choose(page, [file('notes.txt', 20, 'text/plain')])
    await page.selectOption('#purpose', 'file')
    await page.route('**/uploads', (route) => route.fulfill({ status: 400, contentType: 'application/problem+json', body: '{"code":"file-too-large","detail":"No.","status":400}' }))
    await choose(page, [file('a file with a rather long name that has to be cut somewhere.bin', 20)])
    await page.waitForSelector('[data-state=failed]')
    await page.unroute('**/uploads')
    await bytesPerSecond(page, 2_000)
    await choose(page, [file('slow.bin', 200_000)])
    await until(page, 'slow.bin', 'sending')
    found.sending = await looked(page)
    await bytesPerSecond(page, -1)
    await page.selectOption('#purpose', 'upload')
    await choose(page, files)
    for (const each of files) await until(page, each.split('/').at(-1), 'stored')
    await page.locator('.tile').first().scrollIntoViewIfNeeded()
    await page.waitForSelector('.tile canvas')
    found.stored = await looked(page)
    await page.locator('.tile .tools button').last().click()
    found.dialog = await looked(page)
    await page.keyboard.press('Escape')
    await page.evaluate(() => document.body.classList.add('dragging'))
    found.dragging = await looked(page)
    return found
  },

  // The picture of the README.
  async picture(page, { files, slow, path }) {
    await ready(page)
    await choose(page, files)
    for (const each of files) await until(page, each.split('/').at(-1), 'stored')
    await page.click('#batch-clear')
    await page.selectOption('#purpose', 'file')
    await bytesPerSecond(page, 400_000)
    await choose(page, slow.map(([name, size, type]) => file(name, size, type)))
    await page.waitForFunction(() => document.querySelector('#rows progress').value > 0.3)
    await page.evaluate(() => document.activeElement.blur())
    await page.mouse.move(0, 0)
    await page.waitForFunction(() => document.querySelectorAll('.tile canvas').length === 4)
    await page.screenshot({ path })
    return {}
  },
}

async function run(browser, spec) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1100, height: 900 }, ...spec.context })
  context.setDefaultTimeout(LIMIT_MS)
  try {
    const page = await context.newPage()
    const log = []
    const crashes = []
    const requests = []
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => crashes.push(error.message))
    page.on('request', (request) => requests.push(`${request.method()} ${request.url()}`))
    await page.addInitScript(listen)
    if (spec.aborts) await page.route(spec.aborts, (route) => route.abort())
    await page.goto(spec.page)
    const found = await scenarios[spec.scenario](page, spec)
    const { lang } = await page.evaluate(() => ({ lang: document.documentElement.lang }))
    return { ...found, lang, log, crashes, requests }
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
