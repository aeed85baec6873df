// Pages that answer a sent form: bring what the server said to where people look.

document.querySelector("[data-focus]")?.focus();
