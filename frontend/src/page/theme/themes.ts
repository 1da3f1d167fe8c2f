/** Fluent's themes with an indigo accent: Fluent's own ramp of lightness, in another hue. */
import { type BrandVariants, createDarkTheme, createLightTheme, type Theme } from "@fluentui/react-components";

const indigo: BrandVariants = {
  10: "#131327",
  20: "#1e1c3c",
  30: "#27254f",
  40: "#333065",
  50: "#3e3a7d",
  60: "#4a4495",
  70: "#544bad",
  80: "#6156c9",
  90: "#786eeb",
  100: "#8e8afa",
  110: "#9b99f9",
  120: "#a7a7fb",
  130: "#b8bafd",
  140: "#cbcdfc",
  150: "#dddffc",
  160: "#f0f1fd",
};

const fontFamilyBase =
  "'Segoe UI Variable', 'Segoe UI', Inter, system-ui, -apple-system, Roboto, 'Helvetica Neue', sans-serif";

export const lightTheme: Theme = { ...createLightTheme(indigo), fontFamilyBase };

const dark = createDarkTheme(indigo);
export const darkTheme: Theme = {
  ...dark,
  fontFamilyBase,
  // Fluent's colours are for filled surfaces; as text on dark grey they are too dark.
  colorBrandForeground1: indigo[110],
  colorBrandForeground2: indigo[120],
  colorBrandForegroundLink: indigo[110],
  colorStatusDangerForeground1: "#e8909a",
  colorPaletteRedForeground1: "#e8909a",
};
