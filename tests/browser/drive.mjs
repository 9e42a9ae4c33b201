// Opens a page in headless Chromium and calls its functions, as told on standard input: a line of JSON each, answered by one.
// node drive.mjs FOLDER CHROMIUM PAGE, where FOLDER holds node_modules. `{"call": "leave"}` closes the page in which the last
// call with `"close": true` was made; nobody waits for the answer of that.
import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const [folder, executablePath, address] = process.argv.slice(2)
const { chromium } = createRequire(`${folder}/`)('playwright-core')
const browser = await chromium.launch({
  executablePath,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
})
const run = ([name, args]) => globalThis.eval(name)(...args)

async function opened() {
  const page = await browser.newPage()
  await page.goto(address)
  return page
}

const page = await opened()
let other

async function answerTo({ call, with: args, close }) {
  if (call === 'leave') {
    await other.close()
    return 'left'
  }
  if (!close) return page.evaluate(run, [call, args]).catch((error) => ({ thrown: String(error) }))
  other = await opened()
  const sent = other.waitForRequest((request) => request.method() === 'POST')
  other.evaluate(run, [call, args]).catch(() => {})
  await sent
  return 'sent'
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answerTo(JSON.parse(line)))}\n`)
}
await browser.close()
