"""Real clients against a real node: slixmpp, go-sendxmpp, profanity and strophe.js sign in, chat, change rosters and
read archives, as far as each of them can."""
