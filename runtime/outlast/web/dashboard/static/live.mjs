// Live pages: asks for the page again every two seconds and swaps what bears `data-live` and an id, row by row.
// It rests while the page is hidden, while something is chosen or typed in there, and when it is switched off.

import { fetchPage, forgetPage } from "./fetching.mjs"

const EVERY_MS = 2000
const SLOWEST_MS = 30000
const AWAY = "The host doesn't answer. What stands here is what it said last; it is asked again by itself."
const GONE = "This isn't there any more. What stands here is what was shown last."
const toggle = document.querySelector("[data-live-toggle]")
const away = document.getElementById("away")
let on = true
let wait = EVERY_MS
let timer
let asking

function parts() {
  return [...document.querySelectorAll("[data-live][id]")]
}

function isBusy(part) {
  if (part.querySelector("input:checked, dialog[open]")) return true
  const focus = document.activeElement
  return part.contains(focus) && focus.matches("input:not([type=checkbox]), select, textarea")
}

// Changes `old` into `fresh`, touching only what differs: focus, selection and scrolling stay.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true))
    return
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue
    return
  }
  if (old.dataset.kept !== undefined) {
    old.dispatchEvent(new CustomEvent("fresh", { detail: fresh })) // it looks after itself
    return
  }
  if (old.dataset.since && old.dataset.since === fresh.dataset.since) return // times.mjs counts on
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isReaders(old, name)) old.removeAttribute(name)
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isReaders(old, name)) old.setAttribute(name, value)
  }
  if (fresh.firstElementChild && [...fresh.children].every((each) => each.dataset.row)) morphRows(old, fresh)
  else morphChildren(old, fresh)
}

// What the reader has set: which details are open.
function isReaders(element, name) {
  return name === "open" && element.nodeName === "DETAILS"
}

function morphChildren(old, fresh) {
  const before = [...old.childNodes]
  const after = [...fresh.childNodes]
  after.forEach((each, place) => {
    if (place < before.length) morph(before[place], each)
    else old.append(document.importNode(each, true))
  })
  before.slice(after.length).forEach((each) => each.remove())
}

// Rows bear what they are of in `data-row`. One that is still there stays the same element, wherever it stands now:
// so the focus, an open details and the marked text stay with what they belong to.
function morphRows(old, fresh) {
  const wanted = new Set([...fresh.children].map((each) => each.dataset.row))
  const known = new Map()
  for (const each of [...old.children]) {
    if (wanted.has(each.dataset.row)) known.set(each.dataset.row, each)
    else each.remove()
  }
  const focus = document.activeElement
  let at = old.firstElementChild
  for (const each of fresh.children) {
    const row = known.get(each.dataset.row)
    if (!row) {
      old.insertBefore(document.importNode(each, true), at)
      continue
    }
    if (row === at) at = at.nextElementSibling
    else old.insertBefore(row, at)
    morph(row, each)
  }
  while (at) {
    const next = at.nextElementSibling
    at.remove()
    at = next
  }
  if (focus !== document.activeElement && old.contains(focus)) focus.focus({ preventScroll: true })
}

async function look() {
  if (on && !document.hidden && !asking) {
    asking = true
    try {
      const found = await fetchPage(location.href, { onlyIfChanged: true })
      if (found?.ok) {
        for (const part of parts()) {
          const fresh = found.page.getElementById(part.id)
          if (fresh && isBusy(part)) forgetPage()
          else if (fresh) morph(part, fresh)
        }
        document.dispatchEvent(new CustomEvent("page-changed"))
      }
      tell(!found || found.ok ? "" : found.status === 404 ? GONE : AWAY)
    } catch {
      tell(AWAY)
    } finally {
      asking = false
    }
  }
  plan()
}

// A host that is away is asked less often, and the reader is told that what they see is old.
function tell(fault) {
  wait = fault ? Math.min(2 * wait, SLOWEST_MS) : EVERY_MS
  if (away && away.textContent !== fault) away.textContent = fault
}

function plan() {
  clearTimeout(timer)
  if (on && !document.hidden && parts().length) timer = setTimeout(look, wait)
}

toggle?.addEventListener("click", () => {
  on = !on
  toggle.setAttribute("aria-pressed", String(on))
  if (!on) tell("")
  plan()
})
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()))
plan()
