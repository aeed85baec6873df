// A WebSocket to the console that comes back after a break: at once, then after 1, 2, 4 ... at most 15 seconds.

const state = document.getElementById("live");
const down = document.getElementById("node-down");

/** Show whether the page is live: `on`, `off`, or "" while it is not known; the text is for people. */
function tell(value, text) {
  if (!state || (state.dataset.state === value && state.textContent === text)) return;
  state.dataset.state = value;
  state.textContent = text;
}

/** Show why the node cannot be asked, or hide the line again. */
function tellNode(sentence) {
  if (!down) return;
  down.hidden = !sentence;
  if (sentence && down.textContent !== sentence) down.textContent = sentence;
}

/** Open `path` on this origin and hand each JSON message without an error to `onData`. */
export function listen(path, onData) {
  let wait = 0;
  const open = () => {
    const url = new URL(path, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.addEventListener("message", (event) => {
      wait = 0;
      const data = JSON.parse(event.data);
      tellNode(data.error || "");
      tell(data.error ? "off" : "on", data.error ? "no figures" : "live");
      if (!data.error) onData(data);
    });
    socket.addEventListener("close", (event) => {
      if (event.code === 4401) {
        tell("off", "signed out: reload the page");
        return;
      }
      tell("off", "connection lost, trying again");
      wait = Math.min(wait ? wait * 2 : 1000, 15000);
      setTimeout(open, wait);
    });
  };
  open();
}
