// Light or dark: the system's choice until the person makes one.

import { h } from "./element";

const KEY = "tbrm.theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const SIGNS: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

export function themeButton(): HTMLButtonElement {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let theme = THEMES.find((known) => known === localStorage.getItem(KEY)) ?? "system";
  const button = h("button", { type: "button", class: "theme" });
  const show = () => {
    const dark = theme === "dark" || (theme === "system" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = SIGNS[theme];
    button.title = `Colours: ${theme}`;
    button.setAttribute("aria-label", `Colours: ${theme}. Change`);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] as Theme;
    localStorage.setItem(KEY, theme);
    show();
  });
  system.addEventListener("change", show);
  show();
  return button;
}
