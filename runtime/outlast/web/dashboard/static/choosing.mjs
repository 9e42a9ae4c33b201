// Choosing rows: all of the page at once, how many, and the marked row.

for (const form of document.querySelectorAll("[data-choosing]")) {
  const boxes = () => [...form.querySelectorAll('input[type="checkbox"][name="id"]')]

  const tell = () => {
    const chosen = boxes().filter((each) => each.checked)
    for (const each of boxes()) each.closest("tr")?.setAttribute("aria-selected", String(each.checked))
    const all = form.querySelector("[data-choose-all]")
    if (all) {
      all.checked = chosen.length > 0 && chosen.length === boxes().length
      all.indeterminate = chosen.length > 0 && !all.checked
    }
    const count = form.querySelector("[data-chosen-count]")
    if (count) count.textContent = chosen.length ? `(${chosen.length})` : ""
    const button = form.querySelector('button[value="chosen"]')
    if (button) button.disabled = !chosen.length
  }

  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-choose-all]")) for (const each of boxes()) each.checked = event.target.checked
    tell()
  })
  document.addEventListener("page-changed", tell)
  tell()
}
