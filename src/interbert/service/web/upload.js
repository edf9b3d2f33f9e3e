// Upload.

/** Show the page. */
export async function mount(root, app) {
  root.append(app.h("h1", null, app.t("nav.upload")));
}
