"use strict";
/* Replaces the parts of the page that have changed. Without it, the page reloads itself. */
(() => {
  const live = document.getElementById("live");
  const waiting = new Map();
  let source = null;
  let retry = 0;
  let lost = null;

  const say = (text, good) => {
    live.textContent = text;
    live.className = good ? "on" : "off";
  };

  const selected = (element) => {
    const selection = document.getSelection();
    return selection.type === "Range" && element.contains(selection.anchorNode);
  };

  const replace = (id, html) => {
    const old = document.getElementById(id);
    const template = document.createElement("template");
    template.innerHTML = html;
    for (const details of old.querySelectorAll("details[open]")) {
      template.content.getElementById(details.id)?.setAttribute("open", "");
    }
    old.replaceWith(template.content);
  };

  const apply = () => {
    for (const [id, html] of waiting) {
      if (!selected(document.getElementById(id))) {
        replace(id, html);
        waiting.delete(id);
      }
    }
    const verdict = document.getElementById("verdict");
    document.title = verdict.dataset.title;
    document.getElementById("icon").href = verdict.dataset.icon;
  };

  const load = async () => {
    const answer = await fetch("/");
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of page.querySelectorAll("main > section")) waiting.set(part.id, part.outerHTML);
    apply();
  };

  const again = () => {
    load().catch(() => {});
    open();
  };

  const open = () => {
    clearTimeout(retry);
    source = new EventSource("/events");
    source.onopen = () => {
      lost = null;
      say("live", true);
    };
    source.onmessage = (message) => {
      for (const [id, html] of Object.entries(JSON.parse(message.data))) waiting.set(id, html);
      apply();
    };
    source.onerror = () => {
      lost ??= new Date().toLocaleTimeString();
      say(`not live since ${lost}`, false);
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(again, 5000);
    };
  };

  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!source) open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", () => { if (!source && !document.hidden) open(); });
  if (!document.hidden) open();
})();
