// Fetches a page of this host as a document. Its scripts don't run; only parts of it are taken.

const known = new Map() // address -> etag

export async function fetchPage(address, { onlyIfChanged = false, signal } = {}) {
  const headers = { accept: "text/html" }
  if (onlyIfChanged && known.has(address)) headers["if-none-match"] = known.get(address)
  const answer = await fetch(address, { headers, signal, credentials: "same-origin", cache: "no-store" })
  if (answer.status === 304) return null
  if (answer.redirected && new URL(answer.url).pathname === "/dashboard/login") {
    location.assign(answer.url) // the session is over
    return null
  }
  const etag = answer.headers.get("etag")
  if (etag && onlyIfChanged) {
    known.clear() // one page is open
    known.set(address, etag)
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html")
  return { page, ok: answer.ok, url: answer.url }
}
