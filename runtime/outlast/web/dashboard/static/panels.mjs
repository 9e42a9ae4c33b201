// Links with `data-panel` lead to this page with a filled side panel. With scripts only the panel changes.

import { fetchPage } from "./fetching.mjs"

let opener

async function show(address, { remember }) {
  const found = await fetchPage(address)
  const fresh = found?.page.getElementById("panel")
  const panel = document.getElementById("panel")
  if (!fresh || !panel) return location.assign(address)
  panel.replaceChildren(...[...fresh.childNodes].map((each) => document.importNode(each, true)))
  if (!panel.textContent.trim()) panel.replaceChildren()
  mark(address)
  if (remember) history.pushState({ panel: true }, "", address)
  if (panel.childElementCount) panel.querySelector("h2")?.focus()
  else opener?.isConnected && opener.focus()
}

// Marks the row whose details are shown.
function mark(address) {
  const shown = document.getElementById("panel")?.childElementCount && new URL(address, location.href).href
  for (const each of document.querySelectorAll("a[data-panel]")) {
    if (each.href === shown) each.setAttribute("aria-current", "true")
    else each.removeAttribute("aria-current")
  }
}

document.addEventListener("page-changed", () => mark(location.href))
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-panel]")
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  if (!link.closest("#panel")) opener = link
  show(link.href, { remember: true }).catch(() => location.assign(link.href))
})

document.addEventListener("keydown", (event) => {
  const close = document.querySelector("#panel a[data-close]")
  if (event.key === "Escape" && close && !document.querySelector("dialog[open]")) close.click()
})

addEventListener("popstate", () => show(location.href, { remember: false }).catch(() => location.reload()))
mark(location.href)
