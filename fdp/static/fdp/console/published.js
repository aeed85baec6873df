// The list of published forms: mark all of a page, and see how many are marked.

const form = document.getElementById("published");
if (form) {
  const all = document.getElementById("mark-all");
  const boxes = [...form.querySelectorAll("input[name=form]")];
  const count = () => {
    const marked = boxes.filter((box) => box.checked).length;
    document.getElementById("marked").textContent = marked ? `${marked} marked` : "";
    document.getElementById("export-marked").disabled = marked === 0;
    all.checked = marked === boxes.length;
    all.indeterminate = marked > 0 && marked < boxes.length;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    count();
  });
  form.addEventListener("change", count);
  count();
}
