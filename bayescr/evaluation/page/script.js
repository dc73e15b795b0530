"use strict";
(() => {
  const all = (query, within = document) => [...within.querySelectorAll(query)];
  const one = (query, within = document) => within.querySelector(query);

  const collator = new Intl.Collator("en", { numeric: true });
  const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

  document.documentElement.classList.add("has-script");
  all("table").forEach(sorts);
  all(".fields").forEach(chooses);
  all(".scroll").forEach(fits);
  if (one("#data")) slides(JSON.parse(one("#data").textContent));
  if (one("#viewer")) enlarges(one("#viewer"));

  // Tables. A heading's button goes round: best first, worst first, the order of the report.
  // What has no value comes last either way.

  function sorts(table) {
    const turned = table.classList.contains("turned");
    const rows = all("tr:not(.group)", table);
    const bodies = all("tbody tr", table);
    const cells = rows.map((row) => [...row.cells].slice(1));
    const buttons = all("button.sort", table);
    const headings = buttons.map((button) => button.closest("th"));

    buttons.forEach((button, index) => button.addEventListener("click", () => {
      const heading = headings[index];
      const best = heading.dataset.better === "higher" ? "descending" : "ascending";
      const worst = best === "ascending" ? "descending" : "ascending";
      const next = new Map([[null, best], [best, worst]]).get(heading.getAttribute("aria-sort"));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) heading.setAttribute("aria-sort", next);
      if (turned) {
        const places = order(cells[rows.indexOf(heading.parentElement)], heading, next);
        rows.forEach((row, i) => row.append(...places.map((place) => cells[i][place])));
      } else {
        const places = order(bodies.map((row) => row.cells[heading.cellIndex]), heading, next);
        one("tbody", table).append(...places.map((place) => bodies[place]));
      }
    }));
  }

  function order(cells, heading, direction) {
    const places = cells.map((_, index) => index);
    if (!direction) return places;
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = "numeric" in heading.dataset;
    const keys = cells.map((cell) => (numeric ? number(cell) : cell.textContent.trim()));
    const compare = numeric ? (a, b) => (a < b ? -1 : a > b ? 1 : 0) : collator.compare;
    return places.sort((i, j) =>
      (keys[i] === null) - (keys[j] === null) || sign * compare(keys[i], keys[j]) || i - j);
  }

  function number(cell) {
    return cell.dataset.value ? Number(cell.dataset.value) : null;
  }

  function chooses(fieldset) {
    const radios = all("input", fieldset);
    const show = () => radios.forEach((radio) => {
      one(`#${radio.value}`).hidden = !radio.checked;
    });
    fieldset.addEventListener("change", show);
    show(); // a browser that reloads may have kept another choice
  }

  // A table that fits in width needs no box to scroll in, nor a stop of the tab key: its heading
  // then sticks to the window.
  function fits(box) {
    new ResizeObserver(() => {
      const fit = one("table", box).offsetWidth <= box.parentElement.clientWidth;
      box.classList.toggle("fits", fit);
      box.tabIndex = fit ? -1 : 0;
    }).observe(box.parentElement);
  }

  // Sliders: look up the counts of a position, divide, show.

  function slides(data) {
    const { thresholds, coverages, curves } = data;

    const atThreshold = (curve, position) => {
      const place = curve.at[position];
      const [tp, fp] = [curve.tp[place], curve.fp[place]];
      const [positive, negative] = [curve.tp.at(-1), curve.fp.at(-1)];
      return { tpr: ratio(tp, positive), fpr: ratio(fp, negative),
        precision: ratio(tp, tp + fp), flagged: ratio(1e6 * (tp + fp), positive + negative) };
    };
    const atCoverage = (curve, position) => {
      const place = curve.reach[position];
      const [accepted, errors] = [curve.accepted[place], curve.errors[place]];
      return { coverage: ratio(accepted, curve.accepted.at(-1)), errors,
        risk: ratio(errors, accepted), bound: curve.bound[position],
        confidence: curve.confidence[position] };
    };

    const roc = rocPlot(one("#roc"), curves);
    const risk = riskPlot(one("#risk"), curves, coverages);
    slider("threshold", thresholds, {
      find: (typed) => {
        const p = Math.min(Math.max(typed, 1e-12), 1 - 1e-12);
        return nearest(thresholds.logit, Math.log(p) - Math.log1p(-p));
      },
      show: (position) => {
        const found = curves.map((curve) => atThreshold(curve, position));
        fill("#threshold-table", found.map((f) => [[f.tpr, percent], [f.fpr, percent],
          [f.precision, percent], [f.flagged, count]]));
        roc(found.map((f) => [f.fpr, f.tpr]));
      },
    });
    slider("coverage", coverages, {
      find: (typed) => nearest(coverages.rejected.map(depth), depth(1 - typed / 100)),
      show: (position) => {
        const found = curves.map((curve) => atCoverage(curve, position));
        fill("#coverage-table", found.map((f) => [[f.coverage, exact], [f.errors, count],
          [f.risk, percent], [f.bound, percent], [f.confidence, digits]]));
        risk(found.map((f) => [1 - f.coverage, f.risk]));
      },
    });
  }

  function slider(name, positions, { find, show }) {
    const [range, typed] = [one(`#${name}`), one(`#${name}-typed`)];
    const move = () => {
      const position = Number(range.value);
      typed.value = positions.text[position];
      range.setAttribute("aria-valuetext", positions.text[position]);
      show(position);
    };
    range.max = positions.text.length - 1;
    range.value = positions.start;
    range.addEventListener("input", move);
    typed.addEventListener("change", () => {
      const value = parseFloat(typed.value.replace(",", "."));
      if (!Number.isNaN(value)) range.value = find(value);
      move();
    });
    move();
  }

  function fill(table, rows) {
    rows.forEach((row, index) => {
      const cells = one(`${table} tr[data-curve="${index}"]`).cells;
      row.forEach(([value, format], column) => {
        const known = value !== null && !Number.isNaN(value);
        cells[column + 1].textContent = known ? format(value) : "–";
        cells[column + 1].dataset.value = known ? value : "";
      });
    });
  }

  function ratio(part, whole) {
    return whole ? part / whole : NaN;
  }

  function digits(value) {
    return value === 0 ? "0" : value.toPrecision(4);
  }

  function percent(value) {
    return `${value === 1 ? "100" : digits(100 * value)}%`;
  }

  function exact(value) { // a coverage of 99.99876% must not read 100%
    return value === 1 ? "100%" : `${(100 * value).toFixed(Math.floor(depth(1 - value)) + 1)}%`;
  }

  function count(value) {
    return value >= 1000 || Number.isInteger(value) ? grouped.format(value) : digits(value);
  }

  function depth(rejected) { // 0 for all, then one for each decade
    return -Math.log10(Math.max(rejected, 1e-12));
  }

  function nearest(values, wanted) {
    const distances = values.map((value) => Math.abs(value - wanted));
    return distances.indexOf(Math.min(...distances));
  }

  // Drawings. Axes are logarithmic in x; a straight piece of counts is not straight there, so wide
  // steps, of scores with many ties, are drawn through points in between.

  function rocPlot(svg, curves) {
    const least = Math.max(...curves.map((curve) => curve.fp.at(-1)), 10);
    const decades = Math.min(Math.ceil(Math.log10(least)), 7);
    return plot(svg, {
      x: (fpr) => 1 - depth(fpr) / decades,
      y: (tpr) => tpr,
      xTicks: range(decades).map((k) => [10 ** -k, power(-k)]),
      yTicks: [0, 0.2, 0.4, 0.6, 0.8, 1].map((y) => [y, `${Math.round(100 * y)}%`]),
      xLabel: "false-positive rate", yLabel: "true-positive rate",
      lines: curves.map((curve) => filled(curve.fp, curve.tp, 10 ** -decades * curve.fp.at(-1)).map(
        ([fp, tp]) => [ratio(fp, curve.fp.at(-1)), ratio(tp, curve.tp.at(-1))])),
    });
  }

  function riskPlot(svg, curves, coverages) {
    const decades = Math.ceil(depth(coverages.rejected.at(-2)) - 1e-9);
    const lines = curves.map((curve) => {
      const total = curve.accepted.at(-1);
      const rejected = curve.accepted.map((accepted) => total - accepted);
      return filled(rejected.reverse(), [...curve.errors].reverse(), 10 ** -decades * total)
        .map(([left, errors]) => [left / total, ratio(errors, total - left)])
        .filter(([, risk]) => risk > 0);
    });
    const risks = lines.flat().map(([, risk]) => risk);
    const [top, bottom] = [Math.max(...risks, 1e-3), Math.min(...risks, 1e-2)]
      .map((risk) => Math.log10(risk));
    const [high, low] = [Math.ceil(top), Math.max(Math.floor(bottom), -8)];
    return plot(svg, {
      x: (rejected) => depth(rejected) / decades,
      y: (risk) => (-depth(risk) - low) / (high - low),
      xTicks: range(decades).map((k) => [10 ** -k, `${+(100 - 100 * 10 ** -k).toFixed(8)}%`]),
      yTicks: range(high - low).map((k) => [10 ** (low + k), power(low + k)]),
      xLabel: "coverage", yLabel: "selective risk",
      lines,
    });
  }

  function range(last) {
    return Array.from({ length: last + 1 }, (_, k) => k);
  }

  function power(k) {
    const raised = [...String(Math.abs(k))].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("");
    return k === 0 ? "1" : `10${k < 0 ? "⁻" : ""}${raised}`;
  }

  // Points (x ascending, y) with more of them in between wherever x grows by more than a fifth.
  function filled(xs, ys, smallest) {
    const points = [];
    xs.forEach((x, i) => {
      const [from, down] = i ? [Math.max(xs[i - 1], smallest), ys[i - 1]] : [x, ys[0]];
      const steps = x > from ? Math.min(Math.ceil(Math.log(x / from) / 0.2), 60) : 1;
      for (let k = 1; k < steps; k += 1) {
        const between = from * (x / from) ** (k / steps);
        const share = (between - xs[i - 1]) / (x - xs[i - 1]);
        points.push([between, down + share * (ys[i] - down)]);
      }
      points.push([x, ys[i]]);
    });
    return points;
  }

  // Draws at the size the picture has on the screen, again when that changes. Returns what moves
  // the dots.
  function plot(svg, { x, y, xTicks, yTicks, xLabel, yLabel, lines }) {
    const [left, right, top, bottom, height] = [52, 24, 10, 44, 320];
    const unit = (value) => Math.min(Math.max(value, 0), 1);
    let width = 0;
    let dots = [];

    const across = (value) => left + unit(x(value)) * (width - left - right);
    const up = (value) => height - bottom - unit(y(value)) * (height - top - bottom);
    const draw = () => {
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const every = Math.ceil(xTicks.length * 54 / (width - left - right));
      xTicks.forEach(([value, text], k) => {
        add("line", { class: "grid", x1: across(value), x2: across(value), y1: top, y2: height - bottom });
        if (k % every === 0) add("text", { x: across(value), y: height - bottom + 17, "text-anchor": "middle" }, text);
      });
      yTicks.forEach(([value, text]) => {
        add("line", { class: "grid", x1: left, x2: width - right, y1: up(value), y2: up(value) });
        add("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, text);
      });
      add("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel);
      const middle = (top + height - bottom) / 2;
      add("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(12 ${middle}) rotate(-90)` }, yLabel);
      lines.forEach((line, k) => {
        const path = line.map(([a, b], i) => `${i ? "L" : "M"}${across(a).toFixed(1)} ${up(b).toFixed(1)}`);
        if (path.length) add("path", { class: `line c${k % 7} d${Math.floor(k / 7) % 4}`, d: path.join("") });
      });
      dots.forEach(([a, b], k) => {
        if (Number.isNaN(a) || Number.isNaN(b)) return;
        add("circle", { class: `dot c${k % 7}`, cx: across(a).toFixed(1), cy: up(b).toFixed(1), r: 5.5 });
      });
    };
    const add = (name, attributes, text = "") => {
      const element = document.createElementNS(svg.namespaceURI, name);
      Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
      element.textContent = text;
      svg.append(element);
    };
    new ResizeObserver(([entry]) => {
      const now = Math.round(entry.contentRect.width);
      if (now === width || !now) return;
      width = now;
      draw();
    }).observe(svg);
    return (moved) => {
      dots = moved;
      if (width) draw();
    };
  }

  // Figures, one at a time and as large as the window. Escape and Tab are the dialog's own.
  function enlarges(dialog) {
    const openers = all("button.enlarge");
    const [image, previous, next] = [one("img", dialog), one("#previous"), one("#next")];
    let current = 0;

    const show = (index) => {
      current = (index + openers.length) % openers.length;
      const figure = openers[current].closest("figure");
      const picture = one("img", figure);
      [image.src, image.alt] = [picture.src, picture.alt];
      one("#viewer-title").textContent = one("strong", figure).textContent;
      one("#viewer-caption").textContent = picture.alt;
      one("#viewer-count").textContent = `${current + 1} of ${openers.length}`;
    };
    openers.forEach((opener, index) => opener.addEventListener("click", () => {
      show(index);
      dialog.showModal();
    }));
    previous.addEventListener("click", () => show(current - 1));
    next.addEventListener("click", () => show(current + 1));
    one("#close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => openers[current].focus());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) show(current + step);
    });
  }
})();
