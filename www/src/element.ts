type Child = Node | string | number | null | undefined | false;

type Props<T extends HTMLElement> = {
  [K in keyof T as K extends `on${string}` ? K : never]?: T[K];
} & { class?: string; text?: string } & Record<string, unknown>;

/** Makes an element. `on...` are handlers, booleans are attributes that are there or not, the rest are attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props<HTMLElementTagNameMap[K]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else if (name === "text") element.textContent = String(value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, String(value));
  }
  element.append(...nodes(children));
  return element;
}

/** Replaces what is in `parent`. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...nodes(children));
}

function nodes(children: Child[]): (Node | string)[] {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : (child as Node | string)));
}

/** A label with its control and a sentence of help. */
export function field(label: string, control: HTMLElement, help?: string): HTMLElement {
  control.id ||= `field-${++fields}`;
  const hint = help ? h("small", { id: `${control.id}-help`, class: "help", text: help }) : null;
  if (hint) control.setAttribute("aria-describedby", hint.id);
  return h("div", { class: "field" }, h("label", { for: control.id, text: label }), control, hint);
}

let fields = 0;

export function select(options: string[] | [string, string][], value: string): HTMLSelectElement {
  const pairs = options.map((option): [string, string] =>
    typeof option === "string" ? [option, option] : option,
  );
  const made = h("select", {}, ...pairs.map(([key, text]) => h("option", { value: key, text })));
  made.value = value;
  return made;
}
