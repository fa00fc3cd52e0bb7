// The curves of a run: drawn once, redrawn while it works.
"use strict";

(() => {
  const box = document.getElementById("charts");
  if (!box) return;
  const plots = new Map();
  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(name).trim();

  function align(curves) {
    const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
    const columns = curves.map((curve) => {
      const known = new Map(curve.steps.map((step, i) => [step, curve.values[i]]));
      return steps.map((step) => known.get(step) ?? null);
    });
    return [steps, ...columns];
  }

  // What a metric is called in the language of the page.
  function labelOf(place, name) {
    return place.dataset.labels.split("|")[place.dataset.series.split(",").indexOf(name)];
  }

  function options(place, names) {
    const strokes = [colour("--accent"), colour("--safety"), colour("--professionalism")];
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: place.clientWidth,
      height: 190,
      scales: { x: { time: false } },
      axes: [axis, { ...axis, size: 54 }],
      series: [
        { label: box.dataset.step },
        ...names.map((name, i) => ({ label: labelOf(place, name), stroke: strokes[i], width: 2, spanGaps: true, points: { show: false } })),
      ],
    };
  }

  function draw(place, found) {
    const names = place.dataset.series.split(",").filter((name) => found[name]);
    if (!names.length) return;
    const data = align(names.map((name) => found[name]));
    const known = plots.get(place);
    if (known && known.names.join() === names.join()) { known.plot.setData(data); return; }
    known?.plot.destroy();
    place.replaceChildren();
    plots.set(place, { names, plot: new uPlot(options(place, names), data, place) });
  }

  async function refresh() {
    try {
      const answer = await fetch(box.dataset.src);
      if (answer.ok) {
        const found = await answer.json();
        box.querySelectorAll("[data-series]").forEach((place) => draw(place, found));
      }
    } catch {
      // The web is away for a moment; the next round draws again.
    }
    if (document.getElementById("run-live")?.dataset.live === "yes") setTimeout(refresh, 2500);
  }

  // The part above the charts is replaced while the run works; what was opened in it stays open.
  let opened = [];
  const details = () => [...document.querySelectorAll("#run-live details")];
  document.addEventListener("htmx:beforeSwap", () => { opened = details().map((each) => each.open); });
  document.addEventListener("htmx:afterSwap", () => { details().forEach((each, i) => { each.open ||= opened[i] ?? false; }); });
  addEventListener("resize", () => plots.forEach(({ plot }, place) => plot.setSize({ width: place.clientWidth, height: 190 })));
  refresh();
})();
