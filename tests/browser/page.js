// What a web application does, in its page: supabase-js's own bundle and fetch, against a host on another origin.

const { createClient } = supabase

function clientOf({ url, key, token }) {
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: token ? { headers: { Authorization: `Bearer ${token}` } } : {},
  })
}

const BODIES = {
  form: (fields) => {
    const form = new FormData()
    for (const [name, text] of Object.entries(fields)) form.append(name, text)
    return form
  },
  bytes: (values) => new Uint8Array(values).buffer,
  zeros: (size) => new ArrayBuffer(size),
}

// What supabase-js gives, and which of the answer's headers a page may read.
async function invoke(host, { function: name, kind, body, ...options }) {
  options.body = kind ? BODIES[kind](body) : body
  const { data, error, response } = await clientOf(host).functions.invoke(name, options)
  const seen = { data, headers: Object.fromEntries(response?.headers ?? []) }
  if (!error) return seen
  const answer = error.context?.json ? await error.context.json() : null
  return { ...seen, error: error.name, status: error.context?.status, answer }
}

// The same of `fetch`; `blocked` where the browser hands out nothing.
async function ask(url, options) {
  try {
    const answer = await fetch(url, options)
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
  } catch (error) {
    return { blocked: error.name }
  }
}

// Server-sent events by `fetch`, since EventSource sends no headers.
async function follow(url, options) {
  const answer = await fetch(url, options)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return { status: answer.status, text }
    text += value
  }
}

// From a frame without an origin of its own.
function askFromNowhere(url, options) {
  return new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.sandbox = 'allow-scripts'
    frame.srcdoc = `<script>${ask}; ask(${JSON.stringify(url)}, ${JSON.stringify(options)})
      .then((seen) => parent.postMessage({ origin, seen }, '*'))</script>`
    addEventListener('message', ({ data }) => resolve(data), { once: true })
    document.body.append(frame)
  })
}

// Calls that are looked after later: `begin` makes them, `outcome` has what they gave.
let going
let leaving

function begin(name, ...given) {
  leaving = new AbortController()
  going = globalThis[name](...given)
  return 'begun'
}

function outcome() {
  return going
}

function abandon() {
  leaving.abort()
  return outcome()
}

// One call that may be abandoned, and the same call so often at once.
function invokeLeavable(host, call) {
  return invoke(host, { ...call, signal: leaving.signal })
}

function together(host, call, times) {
  return Promise.all(Array.from({ length: times }, () => invoke(host, call)))
}

// The results that an EventSource hears until it gives up, two at most: it comes again by itself when a stream has ended.
function listen(url) {
  return new Promise((resolve) => {
    const heard = []
    const source = new EventSource(url)
    source.addEventListener('result', ({ lastEventId }) => {
      if (heard.push(lastEventId) === 1) return
      source.close()
      resolve(heard)
    })
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED) resolve(heard)
    })
  })
}

function beacon(url, body) {
  return navigator.sendBeacon(url, body)
}
