// Links with `data-dialog` lead to a page with a form. With scripts its main part opens in a dialog, over this page.

import { fetchPage } from "./fetching.mjs"

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-dialog]")
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  try {
    const found = await fetchPage(link.href)
    const part = found?.page.getElementById("asking")
    if (part) open(document.importNode(part, true), link)
    else if (found) location.assign(link.href)
  } catch {
    location.assign(link.href)
  }
})

function open(part, opener) {
  const dialog = document.createElement("dialog")
  dialog.setAttribute("aria-labelledby", "asking-title")
  dialog.append(part)
  for (const back of dialog.querySelectorAll("[data-back]")) {
    back.addEventListener("click", (event) => {
      event.preventDefault()
      dialog.close()
    })
  }
  dialog.addEventListener("close", () => {
    dialog.remove()
    opener.focus()
  })
  document.body.append(dialog)
  dialog.showModal()
}
