// Light or dark by choice. Without a choice the system's holds.

import { keep, recall } from "./keeping.mjs"

const KEY = "outlast-theme"
const root = document.documentElement

const chosen = recall(KEY)
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen
root.classList.add("scripted")

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-toggle]")) return
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches
  root.dataset.theme = dark ? "light" : "dark"
  keep(KEY, root.dataset.theme)
})
