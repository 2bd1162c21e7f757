(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  const root = document.documentElement;
  root.classList.add("js");

  // The theme: the system's, or one that is kept where the browser lets a file keep anything.
  const themes = { "": "automatic", light: "light", dark: "dark" };
  const kept = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("beft-theme", value);
      return localStorage.getItem("beft-theme") || "";
    } catch {
      return value || "";
    }
  };
  const dress = (theme) => {
    if (theme in themes && theme) root.dataset.theme = theme; else delete root.dataset.theme;
    theme_button.textContent = `Theme: ${themes[theme] || themes[""]}`;
  };
  const theme_button = document.getElementById("theme");
  theme_button.hidden = false;
  theme_button.addEventListener("click", () => {
    const names = Object.keys(themes);
    dress(kept(names[(names.indexOf(root.dataset.theme || "") + 1) % names.length]) || "");
  });
  dress(kept());

  const toggle = document.getElementById("show-code");
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const show = toggle.getAttribute("aria-pressed") !== "true";
    toggle.setAttribute("aria-pressed", show);
    all("details.code").forEach((cell) => { cell.open = show; });
  });

  // On a phone the contents are folded, and fold again after a choice.
  const contents = document.querySelector("nav details");
  const narrow = matchMedia("(max-width: 60rem)");
  const fit = () => { contents.open = !narrow.matches; };
  fit();
  narrow.addEventListener("change", fit);
  contents.addEventListener("click", (event) => { if (event.target.closest("a")) fit(); });

  // Paper cannot unfold: what is printed is open, but for code, setup, and what a line of the ledger unfolds to.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not(.code, .fold, .claim, .claims):not([open])");
    folded.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((box) => { box.open = false; }));

  // A box that has nothing to scroll is no stop for the tab key, and lets its table's head stay in view.
  const boxes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    const scrolls = target.scrollWidth > target.clientWidth + 1 || target.scrollHeight > target.clientHeight + 1;
    target.tabIndex = scrolls ? 0 : -1;
    target.classList.toggle("fits", !scrolls);
  }));

  // What a link leads to is opened before it is gone to.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) clear();
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  };

  // The ledger: rows that fit the choices and hold every word of the search.
  let choices = [];
  const sift = () => {
    const words = choices[0].value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => words.every((word) => row.textContent.toLowerCase().includes(word))
      && choices.slice(1).every(({ value, dataset }) => !value || row.dataset[dataset.key] === value);
    const rows = all("details.claim");
    rows.forEach((row) => { row.hidden = !fits(row); });
    all("section.group").forEach((group) => { group.hidden = !group.querySelector("details.claim:not([hidden])"); });
    const left = rows.filter((row) => !row.hidden).length;
    document.getElementById("found").textContent = left === rows.length ? `${left} claims` : `${left} of ${rows.length} claims`;
  };
  const clear = () => {
    choices.forEach((choice) => { choice.value = ""; });
    sift();
  };
  const ledger = () => {
    const filters = document.getElementById("filters");
    if (!filters) return;
    filters.hidden = false;
    choices = all("input, select", filters);
    choices.forEach((choice) => choice.addEventListener("input", sift));
  };

  // Tables sort by what their cells begin with: a number, else a text.
  const number = (text) => {
    const found = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/^[^\d-]{0,2}(-?\d+(?:\.\d+)?(?:e-?\d+)?)/);
    return found ? Number(found[1]) : NaN;
  };
  const sortable = (table) => {
    const [head, ...more] = all("thead tr", table);
    const rows = all("tbody tr", table);
    const plain = head && !more.length && !table.querySelector("[colspan], [rowspan]");
    if (!plain || rows.length < 3 || table.closest("figure.table") === null) return;
    all("th, td", head).forEach((cell, column) => {
      if (!cell.textContent.trim()) return;
      const button = make("button", { type: "button", className: "sort" });
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const down = cell.getAttribute("aria-sort") === "ascending";
        all("[aria-sort]", head).forEach((other) => other.removeAttribute("aria-sort"));
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        const text = (row) => row.cells[column].textContent.trim();
        rows.sort((a, b) => {
          const [x, y] = [number(text(a)), number(text(b))];
          if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // what has no number comes last either way
          return (isNaN(x) ? text(a).localeCompare(text(b)) : x - y) * (down ? -1 : 1);
        });
        table.tBodies[0].append(...rows);
      });
    });
  };

  // A figure opens large, and its drawing can be kept.
  const large = make("dialog", { className: "large" });
  large.setAttribute("aria-label", "The figure, enlarged");
  large.addEventListener("click", () => large.close());
  const enlarge = (image) => {
    const close = make("button", { type: "button", textContent: "Close" });
    large.classList.toggle("shaded", image.closest("figure").classList.contains("shaded"));
    large.replaceChildren(close, make("img", { src: image.src, alt: image.alt }));
    large.showModal();
  };
  const figures = () => {
    document.body.append(large);
    all("figure.figure").forEach((figure) => {
      const image = figure.querySelector("img");
      image.addEventListener("click", () => enlarge(image));
      const keep = figure.querySelector("button.svg");
      if (!keep) return;
      keep.hidden = false;
      keep.addEventListener("click", () => make("a", { href: image.src, download: keep.dataset.file }).click());
      const button = make("button", { type: "button", className: "enlarge", textContent: "Enlarge" });
      button.addEventListener("click", () => enlarge(image));
      keep.after(button);
    });
  };

  // A reference shows what it leads to, as long as the pointer or the focus is on it.
  const glance = make("div", { className: "glance", hidden: true });
  glance.setAttribute("aria-hidden", "true"); // the link itself leads there
  const show = (link) => {
    const target = document.getElementById(link.hash.slice(1));
    if (!target) return;
    const copy = target.cloneNode(true);
    [copy, ...all("[id]", copy)].forEach((part) => part.removeAttribute("id"));
    all(".under, .said", copy).forEach((part) => part.remove());
    all("a, button, [tabindex]", copy).forEach((part) => { part.tabIndex = -1; });
    glance.replaceChildren(copy);
    glance.hidden = false;
    const { left, top, bottom } = link.getBoundingClientRect();
    const space = document.documentElement.clientWidth - glance.offsetWidth - 8;
    glance.style.left = `${Math.max(8, Math.min(left, space)) + scrollX}px`;
    const below = bottom + glance.offsetHeight + 8 < innerHeight || top < glance.offsetHeight;
    glance.style.top = `${(below ? bottom + 6 : top - glance.offsetHeight - 6) + scrollY}px`;
  };
  const hide = () => { glance.hidden = true; };
  const references = () => {
    document.body.append(glance);
    const meant = (event) => event.target.closest && event.target.closest("a.ref, a.term");
    for (const [begin, end] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
      addEventListener(begin, (event) => { if (meant(event)) show(meant(event)); });
      addEventListener(end, (event) => { if (meant(event)) hide(); });
    }
    addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
    addEventListener("click", hide);
  };

  // On a wide screen only the chapter being read lists its sections.
  const follow = () => {
    const entries = all("nav li.chapter");
    const sections = all("section.chapter");
    const mark = () => {
      const at = sections.findLastIndex((section) => section.getBoundingClientRect().top < innerHeight / 3);
      entries.forEach((entry, i) => entry.classList.toggle("current", i === at));
    };
    const watch = new IntersectionObserver(mark, { rootMargin: "-33% 0px -66% 0px" });
    [document.querySelector("main"), ...sections].forEach((section) => watch.observe(section));
    mark();
  };

  addEventListener("DOMContentLoaded", () => {
    all(".scroll, .math, .long-math, pre").forEach((box) => boxes.observe(box));
    all("table").forEach(sortable);
    figures();
    references();
    ledger();
    follow();
    reveal();
    addEventListener("hashchange", reveal);
  });
})();
