/** A stable colour for each agent's name, readable in both themes (a test verifies the contrast). */

export interface AgentColour {
  readonly light: string;
  readonly dark: string;
}

/** Ten hues of equal lightness; neighbours are a third of the circle apart. */
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

/** The CSS colour for the page's colour scheme. */
export function agentText(name: string): string {
  const { light, dark } = agentColour(name);
  return `light-dark(${light}, ${dark})`;
}

/** A background on which the colour is as readable. */
export function agentGround(name: string): string {
  return `color-mix(in srgb, ${agentText(name)} 14%, transparent)`;
}

/** FNV-1a with a final mix, since the last letters of short names would have too little effect. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
