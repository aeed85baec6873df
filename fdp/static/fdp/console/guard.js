// Unsaved changes: a page with `<form data-guard>` asks before it is left.

export function guard(form) {
  const state = () => JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken"));
  let saved = state();
  let sending = false;
  form.addEventListener("submit", (event) => {
    // What goes into a frame leaves nothing.
    sending = !event.submitter?.formTarget;
  });
  window.addEventListener("beforeunload", (event) => {
    if (!sending && state() !== saved) event.preventDefault();
  });
  return () => {
    saved = state();
  };
}
