/** Points of interest on a map: north is up, and the scale is the same everywhere. */
import { fieldsIn, numberOf, textOf, textsOf, isFields, type Fields } from "./fields.js";

export interface Poi {
  readonly name: string;
  readonly about: string | undefined;
  readonly category: string | undefined;
  readonly where: string | undefined;
  readonly point: { readonly lat: number; readonly lon: number } | null;
  readonly tags: readonly string[];
}

export function poisIn(value: unknown): readonly Poi[] {
  return fieldsIn(value).flatMap((fields) => {
    const name = textOf(fields, "name", "title");
    return name === undefined ? [] : [poi(fields, name)];
  });
}

function poi(fields: Fields, name: string): Poi {
  return {
    name,
    about: textOf(fields, "description", "about", "summary", "reason"),
    category: textOf(fields, "category", "kind", "type"),
    where: textOf(fields, "city", "area", "address", "neighbourhood", "neighborhood"),
    point: pointOf(fields),
    tags: textsOf(fields["tags"]),
  };
}

function pointOf(fields: Fields): Poi["point"] {
  for (const place of [fields, fields["location"], fields["coordinates"], fields["position"]]) {
    if (!isFields(place)) continue;
    const lat = numberOf(place, "lat", "latitude");
    const lon = numberOf(place, "lon", "lng", "long", "longitude");
    if (lat !== undefined && lon !== undefined && Math.abs(lat) <= 90 && Math.abs(lon) <= 180) return { lat, lon };
  }
  return null;
}

export interface MapPoint {
  readonly poi: Poi;
  /** The number in the list, from 1. */
  readonly number: number;
  readonly x: number;
  readonly y: number;
}

export interface PoiMap {
  readonly spots: readonly MapPoint[];
  /** The scale bar: a round distance, and its length on the map. */
  readonly bar: { readonly km: number; readonly length: number };
}

/** The map of the points in a box of this size; null if fewer than two have coordinates. */
export function poiMap(pois: readonly Poi[], width: number, height: number, margin = 28): PoiMap | null {
  const known = pois.flatMap((one, at) => (one.point ? [{ poi: one, number: at + 1, ...one.point }] : []));
  if (known.length < 2) return null;
  const lats = known.map(({ lat }) => lat);
  const lons = known.map(({ lon }) => lon);
  const [south, north] = [Math.min(...lats), Math.max(...lats)];
  const [west, east] = [Math.min(...lons), Math.max(...lons)];
  const middle = (north + south) / 2;
  const kmPerLon = 111.32 * Math.max(0.05, Math.cos((middle * Math.PI) / 180));
  const wide = Math.max(0.2, (east - west) * kmPerLon);
  const high = Math.max(0.2, (north - south) * 110.57);
  const perKm = Math.min((width - 2 * margin) / wide, (height - 2 * margin) / high);
  const spots = known.map(({ poi: one, number, lat, lon }) => ({
    poi: one,
    number,
    x: width / 2 + (lon - (east + west) / 2) * kmPerLon * perKm,
    y: height / 2 - (lat - middle) * 110.57 * perKm,
  }));
  return { spots, bar: scaleBar(perKm, width) };
}

function scaleBar(perKm: number, width: number): PoiMap["bar"] {
  const wanted = width / 5 / perKm;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const km = [5, 2, 1].map((lead) => lead * power).find((one) => one <= wanted) ?? power;
  return { km, length: km * perKm };
}
