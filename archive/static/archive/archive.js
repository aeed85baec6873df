// The archive page works without any of this: here it learns the reader's time zone, filters while one types, draws
// along the chart, reads on by itself, and listens to keys.
import "./people.js";
import "./chart.js";
import "./reading.js";

const shown = document.getElementById("zone");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (shown && zone && zone !== shown.dataset.zone && !document.cookie.split("; ").includes(`zone=${zone}`)) {
  document.cookie = `zone=${zone}; path=/archive/; max-age=31536000; SameSite=Lax`;
  // Where cookies are refused the page stays as it is, in UTC.
  if (document.cookie.split("; ").includes(`zone=${zone}`)) location.reload();
}
