// Live pages: asks for the page again every two seconds and swaps what bears `data-live` and an id, row by row.
// It rests while the page is hidden, while something is chosen or typed in there, and when it is switched off.

import { fetchPage } from "./fetching.mjs"

const EVERY_MS = 2000
const SLOWEST_MS = 30000
const toggle = document.querySelector("[data-live-toggle]")
let on = true
let wait = EVERY_MS
let timer

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
  if (old.dataset?.kept !== undefined) {
    old.dispatchEvent(new CustomEvent("fresh", { detail: fresh })) // it looks after itself
    return
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue
    return
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name)
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  const before = [...old.childNodes]
  const after = [...fresh.childNodes]
  after.forEach((each, place) => {
    if (place < before.length) morph(before[place], each)
    else old.append(document.importNode(each, true))
  })
  before.slice(after.length).forEach((each) => each.remove())
}

async function look() {
  if (on && !document.hidden) {
    try {
      const found = await fetchPage(location.href, { onlyIfChanged: true })
      if (found?.ok) {
        for (const part of parts()) {
          const fresh = found.page.getElementById(part.id)
          if (fresh && !isBusy(part)) morph(part, fresh)
        }
        document.dispatchEvent(new CustomEvent("page-changed"))
      }
      wait = EVERY_MS
    } catch {
      wait = Math.min(2 * wait, SLOWEST_MS) // the host is away: it is asked less often
    }
  }
  plan()
}

function plan() {
  clearTimeout(timer)
  if (on && !document.hidden && parts().length) timer = setTimeout(look, wait)
}

toggle?.addEventListener("click", () => {
  on = !on
  toggle.setAttribute("aria-pressed", String(on))
  plan()
})
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()))
plan()
