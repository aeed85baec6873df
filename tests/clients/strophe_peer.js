// One client on strophe.js for the tests: signs in, answers nothing by itself, keeps every message it receives.
class Peer {
  constructor(service, jid, password) {
    this.messages = [];
    this.presences = [];
    this.rosterPushes = [];
    this.jid = jid;
    this.password = password;
    this.connection = new Strophe.Connection(service);
  }

  // Resolves with the name of the first final state: CONNECTED, AUTHFAIL or CONNFAIL.
  connect() {
    return new Promise((resolve) => {
      const final = { [Strophe.Status.CONNECTED]: "CONNECTED", [Strophe.Status.AUTHFAIL]: "AUTHFAIL",
                      [Strophe.Status.CONNFAIL]: "CONNFAIL" };
      this.connection.connect(this.jid, this.password, (status) => {
        if (status === Strophe.Status.CONNECTED) {
          this.connection.addHandler((stanza) => this.take(this.messages, stanza), null, "message");
          this.connection.addHandler((stanza) => this.take(this.presences, stanza), null, "presence");
          this.connection.addHandler((stanza) => this.push(stanza), "jabber:iq:roster", "iq", "set");
          this.connection.send($pres());
        }
        if (status === Strophe.Status.DISCONNECTED) this.gone = true;
        if (status in final) resolve(final[status]);
      });
    });
  }

  take(list, stanza) {
    list.push(stanza.outerHTML);
    return true;
  }

  push(stanza) {
    this.rosterPushes.push(stanza.outerHTML);
    this.connection.send($iq({ type: "result", id: stanza.getAttribute("id") }));
    return true;
  }

  say(to, text) {
    this.connection.send($msg({ to, type: "chat", id: this.connection.getUniqueId() }).c("body").t(text));
  }

  presence(attributes) {
    this.connection.send($pres(attributes));
  }

  // Sends an iq given as text and resolves with the answer as text.
  ask(type, payload, to) {
    const iq = $iq(to ? { type, to } : { type });
    iq.cnode(new DOMParser().parseFromString(payload, "text/xml").documentElement);
    return new Promise((resolve) =>
      this.connection.sendIQ(iq, (answer) => resolve(answer.outerHTML), (error) => resolve(error && error.outerHTML), 15000));
  }

  leave() {
    this.connection.disconnect("done");
  }
}
window.Peer = Peer;
