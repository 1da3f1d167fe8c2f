/** Itineraries: options, each with days, each with stops. */
import { fieldsIn, isFields, numberOf, textOf, textsOf, type Fields } from "./fields.js";

export interface Stop {
  readonly name: string;
  readonly time: string | undefined;
  readonly about: string | undefined;
}

export interface Day {
  readonly title: string;
  readonly about: string | undefined;
  readonly stops: readonly Stop[];
}

export interface Option {
  readonly title: string;
  readonly about: string | undefined;
  readonly days: readonly Day[];
}

const DAYS = ["days", "itinerary", "schedule"] as const;
const STOPS = ["items", "stops", "activities", "pois", "visits", "entries", "plan"] as const;

/** The options in a value; days alone are one option. Empty if there are neither. */
export function optionsIn(value: unknown): readonly Option[] {
  const all = fieldsIn(value);
  const options = all.flatMap((fields, at) => {
    const days = daysIn(firstOf(fields, DAYS));
    if (days.length === 0) return [];
    const title = textOf(fields, "title", "name", "label") ?? `Option ${at + 1}`;
    return [{ title, about: textOf(fields, "description", "summary", "about"), days }];
  });
  if (options.length > 0) return options;
  const days = daysIn(value);
  return days.length > 0 ? [{ title: "Itinerary", about: undefined, days }] : [];
}

function daysIn(value: unknown): readonly Day[] {
  return fieldsIn(value).flatMap((fields, at) => {
    const stops = stopsIn(firstOf(fields, STOPS));
    if (stops.length === 0) return [];
    return [{ title: dayTitle(fields, at), about: textOf(fields, "theme", "summary", "description", "note"), stops }];
  });
}

function dayTitle(fields: Fields, at: number): string {
  const title = textOf(fields, "title", "label");
  const dayNumber = numberOf(fields, "day", "number");
  if (title !== undefined) return dayNumber === undefined || /\d/.test(title) ? title : `Day ${dayNumber}: ${title}`;
  const number = dayNumber ?? (fields["day"] === undefined ? at + 1 : undefined);
  const date = textOf(fields, "date");
  const day = number === undefined ? (textOf(fields, "day") ?? `Day ${at + 1}`) : `Day ${number}`;
  return date === undefined ? day : `${day}, ${date}`;
}

function stopsIn(value: unknown): readonly Stop[] {
  const names = textsOf(value).map((name) => ({ name, time: undefined, about: undefined }));
  if (names.length > 0) return names;
  return fieldsIn(value).flatMap((fields) => {
    const inner = isFields(fields["poi"]) ? fields["poi"] : fields;
    const name = textOf(fields, "name", "title", "poi", "activity", "what") ?? textOf(inner, "name", "title");
    if (name === undefined) return [];
    const time = textOf(fields, "time", "start", "start_time", "when", "slot", "time_of_day");
    return [{ name, time, about: textOf(fields, "note", "notes", "description", "about") }];
  });
}

function firstOf(fields: Fields, names: readonly string[]): unknown {
  return names.map((name) => fields[name]).find((value) => value !== undefined);
}
