(() => {
  const all = (selector) => document.querySelectorAll(selector);
  document.documentElement.classList.add("js");

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

  // A box that has nothing to scroll is no stop for the tab key.
  const boxes = new ResizeObserver((entries) => entries.forEach(({ target }) => {
    target.tabIndex = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight ? 0 : -1;
  }));
  addEventListener("DOMContentLoaded", () => all(".scroll, .math, .long-math, pre").forEach((box) => boxes.observe(box)));

  // Paper cannot unfold: everything but code is printed open.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...all("details:not(.code):not([open])")];
    folded.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((box) => { box.open = false; }));

  // On a wide screen only the chapter being read lists its sections.
  addEventListener("DOMContentLoaded", () => {
    const entries = [...all("nav li.chapter")];
    const sections = [...all("section.chapter")];
    const mark = () => {
      const at = sections.findLastIndex((section) => section.getBoundingClientRect().top < innerHeight / 3);
      entries.forEach((entry, i) => entry.classList.toggle("current", i === at));
    };
    new IntersectionObserver(mark, { rootMargin: "-33% 0px -66% 0px" }).observe(document.querySelector("main"));
    const watch = new IntersectionObserver(mark, { rootMargin: "-33% 0px -66% 0px" });
    sections.forEach((section) => watch.observe(section));
    mark();
  });
})();
