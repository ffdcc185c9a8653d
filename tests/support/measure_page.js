// Measures what each frame of a page shows and leaves it as JSON; see Shown in browser.py.
function luminance(colour) {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
}
function ground(element, view) {
  for (; element; element = element.parentElement) {
    const colour = view.getComputedStyle(element).backgroundColor;
    if (!/rgba\(.*, 0\)/.test(colour)) return colour;
  }
  return "rgb(255, 255, 255)";
}
function named(element) {
  return element.tagName + "." + (element.getAttribute("class") || "") + ": " + element.textContent.trim().slice(0, 40);
}
function measure(frame) {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const found = {width: frame.clientWidth, scrolls: root.scrollWidth - root.clientWidth, beyond: [], charts: 0, empty: [],
    outside: [], overlapping: [], faint: [], background: luminance(view.getComputedStyle(page.body).backgroundColor)};
  for (const element of page.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (box.right > root.clientWidth + 1 && !element.closest(".scroll > *")) found.beyond.push(named(element));
    const said = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!said || element.tagName === "title" || box.width === 0) continue;
    const style = view.getComputedStyle(element), drawn = element.namespaceURI.endsWith("svg");
    const pair = [luminance(drawn ? style.fill : style.color), luminance(ground(element, view))].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) found.faint.push(named(element));
  }
  for (const chart of page.querySelectorAll("svg.chart")) {
    const frame = chart.getBoundingClientRect(), boxes = [];
    const shapes = [...chart.querySelectorAll("polyline, rect, path")];
    const shown = shapes.every(one => { const box = one.getBoundingClientRect(); return box.width + box.height > 0; });
    if (frame.width > 200 && frame.height > 40 && shapes.length && shown) found.charts += 1;
    else found.empty.push(chart.getAttribute("aria-label"));
    for (const text of chart.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        found.outside.push(named(text));
      for (const [other, name] of boxes) {
        const across = box.left < other.right - 1 && other.left < box.right - 1;
        // Lines of text may touch.
        if (across && box.top < other.bottom - 3 && other.top < box.bottom - 3)
          found.overlapping.push(name + " and " + named(text));
      }
      boxes.push([box, named(text)]);
    }
  }
  return found;
}
window.addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.getElementById("measured").textContent = JSON.stringify(found);
});
