// What isn't over counts on: `data-since` says since when.

const UNITS = [
  [86400, "d", 3600, "h"],
  [3600, "h", 60, "min"],
  [60, "min", 1, "s"],
]

export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 60) return `${seconds.toFixed(0)} s`
  const [most, unit, least, lower] = UNITS.find(([size]) => seconds >= size)
  return `${Math.floor(seconds / most)} ${unit} ${String(Math.floor((seconds % most) / least)).padStart(2, "0")} ${lower}`
}

function tick() {
  if (document.hidden) return
  for (const each of document.querySelectorAll("[data-since]")) {
    const seconds = (Date.now() - Date.parse(each.dataset.since)) / 1000
    each.textContent = span(Math.max(0, seconds))
  }
}

setInterval(tick, 1000)
