// Start Converse for the person who is signed in. Where to connect is found as any client finds it: in this server's
// host-meta document (XEP-0156); the addresses written into the page serve where that cannot be had.

const WEBSOCKET = "urn:xmpp:alt-connections:websocket";
const BOSH = "urn:xmpp:alt-connections:xbosh";
const config = JSON.parse(document.getElementById("chat-config").textContent);

/** The first link of a kind that a page of this scheme may open: none in clear from a page that came by HTTPS. */
function usable(links, rel, secure) {
  const first = links.find((link) => link.rel === rel && (location.protocol !== "https:" || link.href.startsWith(secure)));
  return first?.href;
}

async function discover() {
  try {
    const answer = await fetch(config.host_meta_url, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const links = (await answer.json()).links ?? [];
    return { websocket: usable(links, WEBSOCKET, "wss:"), bosh: usable(links, BOSH, "https:") };
  } catch (error) {
    console.warn("host-meta could not be read, using this page's own addresses:", error);
    return {};
  }
}

const wait = document.getElementById("chat-wait");
const again = document.getElementById("chat-again");
again.addEventListener("click", () => location.reload());

/** Say in place of the chat what is the matter, with a button to try once more. */
function say(text) {
  document.getElementById("chat-says").textContent = text;
  again.hidden = false;
}

// Converse takes elements that exist already. Its own would show a second sign-in form, and pictures from elsewhere, for
// the moment between two connections.
for (const name of ["converse-footer", "converse-login-form"]) customElements.define(name, class extends HTMLElement {});

window.converse.plugins.add("mlink", {
  initialize() {
    const { api } = this._converse;
    let leaving = false;
    // Bookmarks that other devices change (XEP-0402): Converse asks for those of the old form only.
    api.listen.on("addClientFeatures", () => api.disco.own.features.add("urn:xmpp:bookmarks:1+notify"));
    // Its element comes into the page only once there is a chat to show: before, it would ask for a password.
    api.listen.on("connected", () => {
      document.getElementById("chat-says").textContent = "Choose a contact, or add one with the menu beside Contacts.";
      again.hidden = true;
      if (!document.querySelector("converse-root")) wait.after(document.createElement("converse-root"));
    });
    api.listen.on("disconnected", () => {
      document.querySelector("converse-root")?.remove();
      say(leaving ? "Signing out …" : "The chat is not connected.");
    });
    // Signed out elsewhere, or the session is over: Converse would ask again and again.
    api.listen.on("beforeFetchLoginCredentials", (context, request) => {
      request.addEventListener("load", () => {
        if (request.status === 401) location.assign(config.sign_in_url);
      });
      return request;
    });
    // Tell the server and the contacts that we leave before the cookie goes.
    const leave = document.querySelector(".who form");
    leave.addEventListener("submit", async (event) => {
      if (!api.connection.connected()) return;
      event.preventDefault();
      leaving = true;
      await Promise.race([api.user.logout(), new Promise((done) => setTimeout(done, 2000))]);
      leave.submit();
    });
  },
});

// Converse compares names without ports. Files may stand on a name of their own.
const mediaHosts = [location.hostname, config.files_host].filter(Boolean);
const found = await discover();
const only = new URLSearchParams(location.search).get("transport");
try {
  await window.converse.initialize({
    ...config.settings,
    websocket_url: only === "bosh" ? undefined : (found.websocket ?? config.websocket_url),
    bosh_service_url: only === "websocket" ? undefined : (found.bosh ?? config.bosh_service_url),
    allowed_image_domains: mediaHosts,
    allowed_audio_domains: mediaHosts,
    allowed_video_domains: mediaHosts,
    whitelisted_plugins: ["mlink"],
  });
} catch (error) {
  console.error(error);
  say("The chat could not be started.");
}
