// Times come in UTC, in <time>. Under the pointer the reader's own time zone shows too, and by choice in place of UTC.
// What isn't over counts on: `data-since` says since when.

import { keep, recall } from "./keeping.mjs"

const KEY = "outlast-times"
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
const UNITS = [
  [86400, "d", 3600, "h"],
  [3600, "h", 60, "min"],
  [60, "min", 1, "s"],
]
const toggle = document.querySelector("[data-times-toggle]")
let local = recall(KEY) === "local"

export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 60) return `${seconds.toFixed(0)} s`
  const [most, unit, least, lower] = UNITS.find(([size]) => seconds >= size)
  return `${Math.floor(seconds / most)} ${unit} ${String(Math.floor((seconds % most) / least)).padStart(2, "0")} ${lower}`
}

// Rewrites the times of a page in the zone that is chosen: of this one, and of each that is fetched.
export function writeTimes(page) {
  for (const each of page.querySelectorAll("time[datetime]")) {
    const at = new Date(each.dateTime)
    set(each, clock(inZone(at, local)))
    const titles = [`${exact(at)} UTC`, `${exact(inZone(at, true))} ${zoneName(at)}`]
    each.title = titles.join("\n")
  }
  for (const each of page.querySelectorAll("[data-zone]")) set(each, local ? zoneName(new Date()) : "UTC")
}

// A date whose UTC fields say what the clock shows.
function inZone(at, local) {
  return local ? new Date(at - at.getTimezoneOffset() * 60000) : at
}

function zoneName(at) {
  const parts = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(at)
  return parts.find(({ type }) => type === "timeZoneName").value
}

// As times.py writes them.
function clock(at) {
  const day = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`
  const time = at.toISOString().slice(11, 19)
  const year = at.getUTCFullYear()
  return year === inZone(new Date(), local).getUTCFullYear() ? `${day} ${time}` : `${day} ${year} ${time.slice(0, 5)}`
}

function exact(at) {
  return at.toISOString().slice(0, 23).replace("T", " ")
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text
}

function tick() {
  if (document.hidden) return
  for (const each of document.querySelectorAll("[data-since]")) {
    const seconds = (Date.now() - Date.parse(each.dataset.since)) / 1000
    each.textContent = span(Math.max(0, seconds))
  }
}

toggle?.addEventListener("click", () => {
  local = !local
  keep(KEY, local ? "local" : "utc")
  toggle.setAttribute("aria-pressed", String(local))
  writeTimes(document)
})
toggle?.setAttribute("aria-pressed", String(local))
writeTimes(document)
setInterval(tick, 1000)
