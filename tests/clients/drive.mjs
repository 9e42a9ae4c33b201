// Calls functions with supabase-js, as told on standard input, and writes down what its users would see.
// node drive.mjs FOLDER URL KEY, where FOLDER holds node_modules.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const [folder, url, key] = process.argv.slice(2)
const require = createRequire(`${folder}/`)
const { createClient } = require('@supabase/supabase-js')
const client = createClient(url, key, {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: require('ws') }, // Node before 22 has none of its own
})

const BODIES = {
  json: (value) => value,
  text: (value) => value,
  zeros: (size) => new ArrayBuffer(size),
  bytes: (value) => new Uint8Array(value).buffer,
  blob: (value) => new Blob([value], { type: 'text/csv' }),
  form: (value) => {
    const form = new FormData()
    for (const [name, text] of Object.entries(value)) form.append(name, text)
    return form
  },
}

async function shown(data) {
  if (data instanceof Blob) return { kind: 'blob', bytes: [...new Uint8Array(await data.arrayBuffer())] }
  return { kind: data === null ? 'null' : typeof data, value: data }
}

async function invoke({ function: name, kind, body, ...options }) {
  if (kind) options.body = BODIES[kind](body)
  const { data, error, response } = await client.functions.invoke(name, options)
  const seen = { data: await shown(data), headers: Object.fromEntries(response?.headers ?? []) }
  if (!error) return seen
  seen.error = { name: error.name, status: error.context?.status, message: error.message }
  if (error.context?.json) seen.error.body = await error.context.json()
  return seen
}

const results = {}
for (const [name, calls] of Object.entries(JSON.parse(readFileSync(0, 'utf8')))) {
  results[name] = []
  for (const call of calls) results[name].push(await invoke(call))
}
process.stdout.write(JSON.stringify(results))
process.exit(0)
