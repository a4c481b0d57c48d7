// Making elements, and writing numbers.

type Child = Node | string | null | undefined;

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  set(made, attributes);
  append(made, children);
  return made;
}

export function svg(
  tag: string,
  attributes: Record<string, string | number | boolean | undefined> = {},
  ...children: Child[]
): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(made, attributes);
  append(made, children);
  return made;
}

function set(made: Element, attributes: Record<string, string | number | boolean | undefined>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
}

function append(made: Element, children: Child[]): void {
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
}

export function seconds(value: number): string {
  if (value >= 600) return `${(value / 60).toFixed(0)} min`;
  if (value >= 100) return `${value.toFixed(0)} s`;
  if (value >= 1) return `${value.toFixed(1)} s`;
  return value === 0 ? "0 s" : `${(value * 1000).toPrecision(3)} ms`;
}

export function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** A value of the page's style, such as a colour of the theme in force. */
export function style(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
