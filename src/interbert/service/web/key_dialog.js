// Asks for a key where the service needs one.

import { h } from "./dom.js";
import { t } from "./i18n.js";
import { keep } from "./session.js";

let asking = null;

/** Ask once, however many requests need it; true when a key was given. `refused`: the one before was not accepted. */
export function askForKey(refused) {
  asking ??= shown(refused).finally(() => {
    asking = null;
  });
  return asking;
}

function shown(refused) {
  return new Promise((resolve) => {
    const pattern = "\\s*[!-~]+\\s*"; // fetch sends no header of other characters
    const title = t("key.label");
    const input = h("input", { type: "password", id: "key", autocomplete: "current-password", required: true, pattern, title });
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "key-title", onclose: () => done(false) },
      h(
        "form",
        { onsubmit: (event) => (event.preventDefault(), done(true)) },
        h("h2", { id: "key-title" }, t("key.title")),
        h("p", { class: refused ? "warning" : "" }, t(refused ? "key.refused" : "key.why")),
        h("label", { for: "key" }, t("key.label")),
        input,
        h("p", { class: "quiet" }, t("key.kept")),
        h(
          "div",
          { class: "actions" },
          h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, t("cancel")),
          h("button", { class: "primary" }, t("key.use")),
        ),
      ),
    );
    function done(given) {
      if (given) keep("key", input.value.trim());
      dialog.remove();
      resolve(given);
    }
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
