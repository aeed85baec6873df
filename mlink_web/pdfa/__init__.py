"""PDF files that look the same in decades (PDF/A, ISO 19005): text of all scripts, fonts in the file, attachments,
signatures. Knows nothing of messages or forms; `archive.export` and `fdp` lay out what they have with it.

    from mlink_web.pdfa.document import Document, Span

    with Document(path, title="Talk of alice and bob", lang="en", author="alice@example.org") as doc:
        doc.header = "Talk of alice and bob"                # left, or (left, right); from the next page on
        doc.footer = lambda page, pages: ("", f"Page {page} of {pages}")          # this is what it is at first
        doc.heading("Talk", 1)                              # in the outline too; outline=False keeps it out
        doc.paragraph("plain text\\nof any script", "text")  # a string, or a list of Span for bold and colours
        doc.columns([("10:42", "time"), ([Span("bob ", bold=True), Span("id 12", color=GREY)], "text")], widths=(40, 0))
        doc.columns([("Label", "label"), [("one", "text"), ("below it", "small")]], widths=(0.34, 0.66), rule=True)
        doc.banner("RESTRICTED", background="#b00020", color="#ffffff")
        doc.rule(); doc.gap(6); doc.page_break(); doc.keep(60)      # keep: a new page unless 60 pt are left
        doc.bookmark("3 May", level=1, key="d-3-may")       # outline entry and target of links; level 0 is the top
        doc.paragraph("See 3 May", "text", link="d-3-may")  # links may go to keys that come later, or "https://…"
        doc.attach("messages.xml", path_or_bytes, "application/xml", relationship="Data", description="The messages")
        doc.lacking                                         # set of characters that no font has: drawn as a box
        doc.page                                            # number of the page being written
    # Leaving the block without an error writes the file, at once complete; with one, there is no file.

What is written goes to the page at once and is forgotten; a page keeps its compressed bytes until the end (some KiB),
nothing else grows with the length. `doc.pages` after the block is the number of pages. A Document belongs to one
thread; several threads may write one each.

Styles (mlink_web.pdfa.styles): text, small, bold, name, time, label, quote, code, muted, title, h1, h2, h3. A Style of
one's own goes wherever a name does. Widths of columns: points when above 1, share of the width when up to 1, 0 for what
is left. Texts are cleaned by the Document (control characters, lone surrogates, overrides of direction, towers of
marks), so pass them as they are; lines end with \\n. Texts from right to left stand right, in any paragraph or column.

A file with attachments is PDF/A-3b, one without is PDF/A-2b. Nothing in it depends on this machine but the times and
the identifier; `created=` fixes the times.

    from mlink_web.pdfa import signing
    signing.is_configured() -> bool
    signing.sign(path_in, path_out, reason="")     # PAdES B-B, with MLINK_PDF_TIMESTAMP_URL B-T; raises signing.Trouble
"""
