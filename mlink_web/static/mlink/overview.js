// Figures of the overview page, renewed once a second, and the line of messages per second.

import { listen } from "./live.js";

const POINTS = 120;
const figures = document.getElementById("figures");
const spark = document.getElementById("spark");
const peakLabel = document.getElementById("rate-peak");
const rates = [];

/** Numbers as people read them: 12,345 or 3.4. */
function readable(value) {
  return value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

function set(name, text) {
  const cell = figures.querySelector(`[data-figure="${name}"]`);
  if (cell && cell.textContent !== text) cell.textContent = text;
}

/** Draw `rates`, newest at the right edge; the top is the highest value or 1. */
function draw() {
  const peak = Math.max(1, ...rates);
  const points = rates.map((rate, index) => `${POINTS - rates.length + index + 1} ${(38 - (36 * rate) / peak).toFixed(2)}`);
  const line = points.length > 1 ? `M${points.join("L")}` : "";
  spark.querySelector(".line").setAttribute("d", line);
  spark.querySelector(".area").setAttribute("d", line && `${line}L${POINTS} 39.5L${POINTS - rates.length + 1} 39.5Z`);
  peakLabel.textContent = `highest ${readable(Math.max(0, ...rates))}`;
}

listen(figures.dataset.socket, (data) => {
  set("sessions", readable(data.sessions));
  set("rooms", readable(data.rooms));
  set("occupants", data.occupants === 1 ? "1 occupant" : `${readable(data.occupants)} occupants`);
  // Of some domains there is no more than that.
  if (data.messages === undefined) return;
  set("messages", readable(data.messages));
  set("uptime", data.uptime);
  if (data.rate === null) return;
  set("rate", readable(data.rate));
  rates.push(data.rate);
  if (rates.length > POINTS) rates.shift();
  draw();
});
