// What the reader has chosen, kept in this browser. Where storage is blocked, it holds for the page.

export function recall(key) {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(key, value)
  } catch {
    // as above
  }
}
