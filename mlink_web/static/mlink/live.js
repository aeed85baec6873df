// A WebSocket to the console that comes back after a break: at once, then after 1, 2, 4 ... at most 15 seconds.

const state = document.getElementById("live");
const down = document.getElementById("node-down");
const part = document.getElementById("node-part");

/** Show whether the page is live: `on`, `off`, or "" while it is not known; the text is for people. */
function tell(value, text) {
  if (!state || (state.dataset.state === value && state.textContent === text)) return;
  state.dataset.state = value;
  state.textContent = text;
}

/** Show a sentence in its line, or hide the line again. */
function tellNode(line, sentence) {
  if (!line) return;
  line.hidden = !sentence;
  if (sentence && line.textContent !== sentence) line.textContent = sentence;
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
      // Why the node cannot be asked, and which nodes of a cluster gave no answer.
      tellNode(down, data.error);
      tellNode(part, data.error ? "" : data.warning);
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
