// A word shows the regions that it is linked to, and a region its words; by mouse, by touch and by keyboard.
"use strict";
for (const panel of document.querySelectorAll(".explained")) {
  const parts = { word: [...panel.querySelectorAll(".word")], region: [...panel.querySelectorAll(".region")] };
  const boxes = [...panel.querySelectorAll(".box")];
  const show = (kind, place) => {
    const other = kind === "word" ? "region" : "word";
    const links = parts[kind][place].dataset.links.split(" ").map(Number);
    panel.dataset.shown = kind;
    panel.dataset.place = place;
    parts[kind].forEach((one, index) => one.classList.toggle("chosen", index === place));
    parts[other].forEach((one, index) => one.style.setProperty("--link", links[index]));
    boxes.forEach((one, index) => {
      one.classList.toggle("chosen", kind === "region" && index === place);
      one.style.setProperty("--link", kind === "word" ? links[index] : Number(index === place));
    });
  };
  const hide = (kind, place) => {
    if (panel.dataset.shown !== kind || Number(panel.dataset.place) !== place) return; // another is shown by now
    delete panel.dataset.shown;
    for (const one of panel.querySelectorAll(".chosen")) one.classList.remove("chosen");
  };
  const listen = (one, kind, place) => {
    for (const event of ["mouseenter", "focus", "click"]) one.addEventListener(event, () => show(kind, place));
    for (const event of ["mouseleave", "blur"]) one.addEventListener(event, () => hide(kind, place));
  };
  for (const kind of ["word", "region"]) parts[kind].forEach((one, place) => listen(one, kind, place));
  boxes.forEach((one, place) => listen(one, "region", place));
}
