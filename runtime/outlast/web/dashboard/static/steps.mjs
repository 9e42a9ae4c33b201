// The timeline of a long run: blocks of steps are fetched as they come into sight, and let go when they are far away.
// Every step has its place from the beginning on, since rows are of one height: so the scroll bar tells the truth.

import { fetchPage } from "./fetching.mjs"

const NEAR = "1200px 0px"
const SETTLE_MS = 80
const FILLED_MAX = 8

const table = document.querySelector("table[data-steps]")
if (table) follow(table)

function follow(table) {
  const size = Number(table.dataset.block)
  const first = table.tBodies[0]
  if ((Number(first.dataset.from) - 1) % size) return
  const columns = table.tHead.rows[0].cells.length
  const height = first.rows.length ? first.getBoundingClientRect().height / first.rows.length : 36
  const bodies = new Map() // from -> tbody
  const filled = new Set()
  const asked = new Map() // tbody -> AbortController
  let last = 0

  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) isIntersecting ? fill(target) : leave(target)
    },
    { rootMargin: NEAR },
  )

  function rowsOf(body) {
    return Math.max(1, Math.min(size, last - Number(body.dataset.from) + 1))
  }

  function empty(body) {
    const cell = document.createElement("td")
    cell.colSpan = columns
    cell.style.height = `${rowsOf(body) * height}px`
    const row = document.createElement("tr")
    row.className = "away"
    row.append(cell)
    body.replaceChildren(row)
    filled.delete(body)
  }

  async function fill(body) {
    if (filled.has(body) || asked.has(body)) return
    const control = new AbortController()
    asked.set(body, control)
    try {
      await new Promise((done) => setTimeout(done, SETTLE_MS))
      if (control.signal.aborted) return
      const found = await fetchPage(`${table.dataset.steps}?from=${body.dataset.from}`, { signal: control.signal })
      const fresh = found?.page.querySelector(`tbody[data-from="${body.dataset.from}"]`)
      if (!fresh) return
      body.replaceChildren(...[...fresh.rows].map((each) => document.importNode(each, true)))
      filled.add(body)
    } catch (error) {
      if (error.name !== "AbortError") setTimeout(() => asked.has(body) || again(body), 3000)
    } finally {
      asked.delete(body)
    }
  }

  function again(body) {
    observer.unobserve(body)
    observer.observe(body)
  }

  function leave(body) {
    asked.get(body)?.abort()
    if (filled.size > FILLED_MAX && filled.has(body) && !body.contains(document.activeElement)) empty(body)
  }

  function extend(to) {
    last = Math.max(last, to)
    for (let from = 1; from <= last; from += size) {
      if (bodies.has(from)) continue
      const own = Number(first.dataset.from) === from
      const body = own ? first : document.createElement("tbody")
      body.dataset.from = from
      bodies.set(from, body)
      if (own) filled.add(body)
    }
    const order = [...bodies.keys()].sort((one, other) => one - other)
    order.forEach((from, place) => {
      const body = bodies.get(from)
      if (table.tBodies[place] !== body) table.insertBefore(body, table.tBodies[place] ?? null)
      if (!filled.has(body)) empty(body)
      observer.observe(body)
    })
  }

  table.dataset.kept = ""
  table.addEventListener("fresh", (event) => {
    const before = last
    extend(Number(event.detail.dataset.last))
    const open = bodies.get(Math.floor((before - 1) / size) * size + 1)
    if (open && last !== before) {
      filled.delete(open)
      again(open) // its last rows have come since
    }
  })
  extend(Number(table.dataset.last))
  document.querySelector("[data-steps-pager]")?.classList.add("quietly")
}
