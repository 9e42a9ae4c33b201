// Buttons that copy: the text stands in `data-copy`.

const DONE_MS = 1200

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]")
  if (!button) return
  event.preventDefault()
  await write(button.dataset.copy)
  button.classList.add("done")
  const told = document.getElementById("told")
  if (told) told.textContent = "Copied."
  setTimeout(() => {
    button.classList.remove("done")
    if (told?.textContent === "Copied.") told.textContent = ""
  }, DONE_MS)
})

async function write(text) {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const area = document.createElement("textarea") // plain http on another host has no clipboard
    area.value = text
    document.body.append(area)
    area.select()
    document.execCommand("copy")
    area.remove()
  }
}
