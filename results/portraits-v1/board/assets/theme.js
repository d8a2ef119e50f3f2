// Runs before the first paint, so that a chosen theme does not flash. Storage may be refused for file: pages.
"use strict";
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("anonbench-theme"); } catch { /* no storage, no memory */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const isDark = () => {
      const theme = document.documentElement.dataset.theme;
      return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    };
    const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    const announce = () => { label(); document.dispatchEvent(new Event("themechange")); };
    button.hidden = false;
    label();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
    button.addEventListener("click", () => {
      const next = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem("anonbench-theme", next); } catch { /* the choice lasts for this page */ }
      announce();
    });
  });
})();
