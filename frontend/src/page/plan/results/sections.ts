/**
 * Divides result data into sections: recognised shapes get a view of their own, and the rest is shown as names and values.
 * Recognition is by shape only, and never throws.
 */
import { optionsIn, type Option } from "./itinerary.js";
import { poisIn, type Poi } from "./pois.js";
import { fieldsIn, isFields, label, numberOf, textOf, textsOf, type Fields } from "./fields.js";
import { tableOf, type Table } from "./tabular.js";

export interface Artist {
  readonly name: string;
  readonly score: number | undefined;
  readonly about: string | undefined;
  readonly years: string | undefined;
}

export interface Artwork {
  readonly title: string;
  readonly artist: string | undefined;
  readonly year: string | undefined;
  readonly score: number | undefined;
  readonly image: string | undefined;
  readonly manifest: string | undefined;
  readonly about: string | undefined;
}

export interface Requirement {
  readonly text: string;
  readonly priority: string | undefined;
}

export type Section =
  | {
      readonly kind: "theme";
      readonly title: string;
      readonly subtitle?: string;
      readonly statement?: string;
      readonly rationale?: string;
    }
  | { readonly kind: "artists"; readonly artists: readonly Artist[] }
  | { readonly kind: "artworks"; readonly artworks: readonly Artwork[] }
  | { readonly kind: "table"; readonly title?: string; readonly table: Table }
  | { readonly kind: "pois"; readonly pois: readonly Poi[] }
  | { readonly kind: "requirements"; readonly requirements: readonly Requirement[] }
  | { readonly kind: "itinerary"; readonly options: readonly Option[] }
  | { readonly kind: "text"; readonly title?: string; readonly text: string }
  | { readonly kind: "code"; readonly title: string; readonly text: string }
  | { readonly kind: "rest"; readonly value: Fields };

/** Recognises a shape: returns its sections, and the names of the fields used. */
type Recogniser = (
  fields: Fields,
) => { readonly sections: readonly Section[]; readonly used: readonly string[] } | null;

const RECOGNISERS: readonly Recogniser[] = [
  theme,
  artists,
  artworks,
  texts,
  table,
  pois,
  requirements,
  itinerary,
  code,
  nested,
];
const DEEPEST = 3;

export function sectionsOf(data: Fields, depth = 0): readonly Section[] {
  const sections: Section[] = [];
  const rest: (readonly [string, unknown])[] = [];
  const used = new Set<string>();
  for (const recognise of RECOGNISERS) {
    if (recognise === nested && depth >= DEEPEST) continue;
    const left = Object.fromEntries(Object.entries(data).filter(([name]) => !used.has(name)));
    const found = recognise === nested ? nested(left, depth) : recognise(left);
    for (const section of found?.sections ?? []) {
      if (section.kind === "rest") rest.push(...Object.entries(section.value));
      else sections.push(section);
    }
    for (const name of found?.used ?? []) used.add(name);
  }
  rest.push(
    ...Object.entries(data).filter(([name, value]) => !used.has(name) && value !== null && value !== undefined),
  );
  if (rest.length > 0) sections.push({ kind: "rest", value: Object.fromEntries(rest) });
  return sections;
}

/** The sections to show beside a message, without texts that repeat it. */
export function sectionsBeside(message: string, data: Fields): readonly Section[] {
  return sectionsOf(data).filter((section) => section.kind !== "text" || section.text.trim() !== message.trim());
}

function theme(fields: Fields): ReturnType<Recogniser> {
  const title = textOf(fields, "exhibition_title");
  if (title === undefined) return null;
  const texts = {
    subtitle: textOf(fields, "subtitle"),
    statement: textOf(fields, "curatorial_statement"),
    rationale: textOf(fields, "scholarly_rationale"),
  };
  const known = Object.fromEntries(Object.entries(texts).filter(([, value]) => value !== undefined));
  return {
    sections: [{ kind: "theme", title, ...known }],
    used: ["exhibition_title", "subtitle", "curatorial_statement", "scholarly_rationale"],
  };
}

function artists(fields: Fields): ReturnType<Recogniser> {
  const found = fieldsIn(fields["artists"]).flatMap((one) => {
    const name = textOf(one, "name", "artist_name");
    if (name === undefined) return [];
    const years = textOf(one, "years", "life", "dates") ?? lifespan(one);
    return [{ name, score: share(one), about: textOf(one, "reasoning", "description", "relevance", "about"), years }];
  });
  return found.length > 0 ? { sections: [{ kind: "artists", artists: found }], used: ["artists"] } : null;
}

function lifespan(fields: Fields): string | undefined {
  const born = textOf(fields, "birth_year", "born");
  return born === undefined ? undefined : `${born}–${textOf(fields, "death_year", "died") ?? ""}`;
}

/** 0 to 1. */
function share(fields: Fields): number | undefined {
  const score = numberOf(fields, "score", "relevance_score");
  return score === undefined || score < 0 || score > 1 ? undefined : score;
}

function artworks(fields: Fields): ReturnType<Recogniser> {
  const found = fieldsIn(fields["artworks"]).flatMap((one) => {
    const title = textOf(one, "title", "name");
    if (title === undefined) return [];
    return [
      {
        title,
        artist: textOf(one, "artist_name", "artist"),
        year: textOf(one, "year", "date"),
        score: share(one),
        image: textOf(one, "thumbnail", "thumbnail_url", "image", "image_url"),
        manifest: textOf(one, "iiif_manifest"),
        about: textOf(one, "reasoning", "description", "medium", "about"),
      },
    ];
  });
  return found.length > 0 ? { sections: [{ kind: "artworks", artworks: found }], used: ["artworks"] } : null;
}

const TEXTS = [
  "response",
  "answer",
  "summary",
  "recommendation",
  "interpretation",
  "report",
  "insight",
  "text",
  "message",
];

const CODE = ["sql", "query_sql", "code"];

function texts(fields: Fields): ReturnType<Recogniser> {
  const named = [...TEXTS, "result"].filter((name) => typeof fields[name] === "string" && fields[name] !== "");
  const found = [...named, ...Object.keys(fields).filter((name) => !named.includes(name) && isProse(name, fields))];
  const sections = found.map((name, at) => ({
    kind: "text" as const,
    text: String(fields[name]),
    ...(at > 0 || named.length === 0 ? { title: label(name) } : {}),
  }));
  return { sections, used: found };
}

/** Whether a field holds paragraphs, under any name. */
function isProse(name: string, fields: Fields): boolean {
  const value = fields[name];
  return typeof value === "string" && /\S\n\s*\n\S/.test(value) && !CODE.includes(name);
}

function table(fields: Fields): ReturnType<Recogniser> {
  const found = tableOf(fields["rows"], fields["columns"], numberOf(fields, "row_count", "total", "total_rows"));
  if (!found) return null;
  return {
    sections: [{ kind: "table", table: found }],
    used: ["rows", "columns", "row_count", "total", "total_rows", "chart"],
  };
}

function pois(fields: Fields): ReturnType<Recogniser> {
  const found = poisIn(fields["pois"]);
  if (found.length > 0) return { sections: [{ kind: "pois", pois: found }], used: ["pois"] };
  const one = isFields(fields["poi"]) ? poisIn([fields["poi"]]) : [];
  return one.length > 0 ? { sections: [{ kind: "pois", pois: one }], used: ["poi"] } : null;
}

function requirements(fields: Fields): ReturnType<Recogniser> {
  const given = fields["requirements"];
  const plain = textsOf(given).map((text) => ({ text, priority: undefined }));
  const described = fieldsIn(given).flatMap((one) => {
    const text = textOf(one, "description", "text", "requirement");
    return text === undefined ? [] : [{ text, priority: textOf(one, "priority") }];
  });
  const found = [...plain, ...described];
  return found.length > 0
    ? { sections: [{ kind: "requirements", requirements: found }], used: ["requirements"] }
    : null;
}

function itinerary(fields: Fields): ReturnType<Recogniser> {
  const name = ["plan", "options", "itinerary", "days"].find((one) => optionsIn(fields[one]).length > 0);
  return name ? { sections: [{ kind: "itinerary", options: optionsIn(fields[name]) }], used: [name] } : null;
}

function code(fields: Fields): ReturnType<Recogniser> {
  const found = CODE.filter((name) => typeof fields[name] === "string" && fields[name] !== "");
  const sections = found.map((name) => ({ kind: "code" as const, title: label(name), text: String(fields[name]) }));
  return { sections, used: found };
}

/** Nested objects with recognised shapes, and lists of objects as tables. */
function nested(fields: Fields, depth = 0): ReturnType<Recogniser> {
  const sections: Section[] = [];
  const used: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const inner = isFields(value) ? sectionsOf(value, depth + 1) : tables(name, value);
    if (!inner.some(({ kind }) => kind !== "rest")) continue;
    sections.push(...inner.map((one) => (one.kind === "rest" ? { ...one, value: { [name]: one.value } } : one)));
    used.push(name);
  }
  return { sections, used };
}

function tables(name: string, value: unknown): readonly Section[] {
  const plain = fieldsIn(value).filter((row) =>
    Object.values(row).every((cell) => typeof cell !== "object" || cell === null),
  );
  if (!Array.isArray(value) || plain.length < value.length) return [];
  const found = tableOf(value);
  return found ? [{ kind: "table", title: label(name), table: found }] : [];
}
