/** A colour for each agent's name: always the same, and readable in both themes (the test measures it). */

export interface AgentColour {
  readonly light: string;
  readonly dark: string;
}

/** Ten hues, a third of the circle apart from one to the next, as light as each other. */
export const agentColours: readonly AgentColour[] = [
  { light: "#1e5ba1", dark: "#8abeff" },
  { light: "#006f38", dark: "#7ed09c" },
  { light: "#904100", dark: "#f1a774" },
  { light: "#7a3e87", dark: "#daa3e7" },
  { light: "#006a70", dark: "#52d0d6" },
  { light: "#96353b", dark: "#f99d9d" },
  { light: "#635d0c", dark: "#c5bf67" },
  { light: "#554da0", dark: "#b3b1ff" },
  { light: "#8e3665", dark: "#f09dc4" },
  { light: "#006595", dark: "#68c8f4" },
];

export function agentColour(name: string): AgentColour {
  return agentColours[hash(name) % agentColours.length] as AgentColour;
}

/** For a style: whichever the page's colour scheme asks for. */
export function agentText(name: string): string {
  const { light, dark } = agentColour(name);
  return `light-dark(${light}, ${dark})`;
}

/** A ground that the colour stands on as readably. */
export function agentGround(name: string): string {
  return `color-mix(in srgb, ${agentText(name)} 14%, transparent)`;
}

/** FNV-1a, and mixed once more: names are short, and the last letters would count too little. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
