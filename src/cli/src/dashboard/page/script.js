"use strict";
// Asks for the sections again and puts in place those that changed; focus stays where it was.
(() => {
  const pause = Number(document.body.dataset.intervalMilliseconds);
  const deadline = Math.max(10000, 3 * pause);
  const connection = document.getElementById("connection");
  const known = new Map();

  const say = (text) => {
    if (connection.textContent !== text) connection.textContent = text;
  };

  const put = (id, html) => {
    if (known.get(id) === html) return;
    known.set(id, html);
    const section = document.getElementById(id);
    if (!section) return;
    const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
    section.innerHTML = html;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const look = async () => {
    const answer = await fetch("sections", { cache: "no-store", signal: AbortSignal.timeout(deadline) });
    if (answer.status === 403) {
      say("This dashboard was started again: open its new link.");
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    for (const [id, html] of Object.entries(await answer.json())) put(id, html);
    say("");
  };

  const go = async () => {
    // A page that nobody looks at asks for nothing.
    if (!document.hidden) {
      await look().catch(() => say("No answer: has `bootstash dashboard` ended?"));
    }
    setTimeout(go, pause);
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) look().catch(() => {});
  });
  setTimeout(go, pause);
})();
