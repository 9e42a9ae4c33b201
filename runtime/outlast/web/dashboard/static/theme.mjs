// Light or dark by choice: kept in this browser. Without a choice the system's holds.

const KEY = "outlast-theme"
const root = document.documentElement

function stored() {
  try {
    return localStorage.getItem(KEY)
  } catch {
    return null // storage is blocked: the choice holds for this page
  }
}

function set(theme) {
  root.dataset.theme = theme
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // as above
  }
}

const chosen = stored()
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen
root.classList.add("scripted")

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches
  set(dark ? "light" : "dark")
})
