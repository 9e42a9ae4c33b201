// Fetches a page of this host as a document. Its scripts don't run; only parts of it are taken.

import { writeTimes } from "./times.mjs"

let known = {} // address and etag of what is shown: one page is open

export async function fetchPage(address, { onlyIfChanged = false, signal } = {}) {
  const headers = { accept: "text/html" }
  if (onlyIfChanged && known.address === address) headers["if-none-match"] = known.etag
  const answer = await fetch(address, { headers, signal, credentials: "same-origin", cache: "no-store" })
  if (answer.status === 304) return null
  if (answer.redirected && new URL(answer.url).pathname === "/dashboard/login") {
    location.assign(answer.url) // the session is over
    return null
  }
  const etag = answer.headers.get("etag")
  if (etag && onlyIfChanged) known = { address, etag }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html")
  writeTimes(page)
  return { page, ok: answer.ok, status: answer.status, url: answer.url }
}

// Not all of the page that came is shown: it is wanted again.
export function forgetPage() {
  known = {}
}
