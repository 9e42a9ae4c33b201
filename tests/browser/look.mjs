// Looks at pages in headless Chromium, as told on standard input: a line of JSON each, answered by one.
// node look.mjs FOLDER CHROMIUM, where FOLDER holds node_modules. `{"code": "async (look, given) => …", "with": {…}}` runs the
// code here; `look` has what is below. What a page complains of meanwhile is kept, and asked for by `look.complaints()`.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const [folder, executablePath] = process.argv.slice(2)
const require = createRequire(`${folder}/`)
const { chromium } = require('playwright-core')
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const launched = () => chromium.launch({
  executablePath,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--hide-scrollbars',
    '--disable-background-networking', '--disable-component-update', '--disable-sync', '--force-color-profile=srgb',
  ],
})
let browser = await launched()

let complaints = []
const look = {
  context: undefined,
  page: undefined,

  // A fresh browser profile, as if nobody had been here.
  async fresh(options = {}) {
    await look.leave()
    complaints = []
    look.context = await browser.newContext({ reducedMotion: 'reduce', ...options })
    look.context.setDefaultTimeout(20_000)
    await look.context.exposeBinding('tellViolation', (_, text) => { complaints.push(text) })
    await look.context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        globalThis.tellViolation(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)
      })
    })
    await look.tab()
  },

  // Close what is open. A Chromium that doesn't manage it in time is left to its end, and another one started.
  async leave() {
    let late
    const over = new Promise((done) => { late = setTimeout(done, 10_000, 'late') })
    if (await Promise.race([Promise.resolve(look.context?.close()), over]) === 'late') {
      browser.close().catch(() => {})
      browser = await launched()
    }
    clearTimeout(late)
  },

  async tab() {
    look.page = await look.context.newPage()
    look.page.on('pageerror', (error) => complaints.push(`thrown: ${error.stack}`))
    look.page.on('dialog', (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss() })
    look.page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`console: ${message.text()} at ${message.location().url}`)
    })
    look.page.on('requestfailed', (request) => {
      if (!/ERR_ABORTED/.test(request.failure()?.errorText)) complaints.push(`failed: ${request.url()}`)
    })
  },

  complaints() {
    const told = complaints
    complaints = []
    return told
  },

  // What axe-core finds, in short.
  async axe() {
    await look.page.evaluate(axe)
    const found = await look.page.evaluate(() => globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      resultTypes: ['violations'],
    }))
    return found.violations.map(({ id, nodes }) =>
      `${id}: ${nodes.slice(0, 5).map((node) => `${node.target} ${node.failureSummary?.split('\n')[1] ?? ''}`).join(' | ')}`)
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { code, with: given } = JSON.parse(line)
  let answer
  try {
    answer = { answer: (await globalThis.eval(`(${code})`)(look, given)) ?? null }
  } catch (error) {
    answer = { thrown: String(error?.stack ?? error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
await browser.close()
