import { Badge, makeStyles, tokens } from "@fluentui/react-components";
import { memo, useMemo } from "react";
import type { Option } from "./itinerary.js";
import { poiMap, type PoiMap, type Poi } from "./pois.js";
import type { Requirement } from "./sections.js";

const WIDTH = 480;
const HEIGHT = 340;
/** The height of the scale bar. */
const BAR = 24;

const useStyles = makeStyles({
  pois: {
    display: "grid",
    gap: tokens.spacingHorizontalL,
    gridTemplateColumns: "repeat(auto-fit, minmax(min(280px, 100%), 1fr))",
    alignItems: "start",
  },
  map: {
    display: "block",
    width: "100%",
    height: "auto",
    borderRadius: tokens.borderRadiusLarge,
    backgroundColor: tokens.colorNeutralBackground3,
  },
  pin: { fill: tokens.colorBrandBackground, stroke: tokens.colorNeutralBackground1, strokeWidth: 2 },
  pinText: { fill: tokens.colorNeutralForegroundOnBrand, fontSize: "11px", fontWeight: tokens.fontWeightSemibold },
  mapText: { fill: tokens.colorNeutralForeground3, fontSize: "11px" },
  line: { stroke: tokens.colorNeutralForeground3, strokeWidth: 1.5 },
  grid: { stroke: tokens.colorNeutralStroke3, strokeWidth: 1 },
  list: { margin: 0, padding: 0, listStyle: "none", display: "grid", gap: tokens.spacingVerticalS },
  poi: {
    display: "grid",
    gridTemplateColumns: "26px minmax(0, 1fr)",
    gap: tokens.spacingHorizontalS,
    fontSize: tokens.fontSizeBase300,
    lineHeight: tokens.lineHeightBase300,
  },
  number: {
    display: "flex",
    alignItems: "center",
    justifyContent: "center",
    width: "22px",
    height: "22px",
    borderRadius: tokens.borderRadiusCircular,
    backgroundColor: tokens.colorBrandBackground2,
    color: tokens.colorBrandForeground2,
    fontSize: tokens.fontSizeBase200,
    fontWeight: tokens.fontWeightSemibold,
  },
  name: { fontWeight: tokens.fontWeightSemibold, overflowWrap: "anywhere" },
  quiet: { color: tokens.colorNeutralForeground3, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
  days: {
    display: "grid",
    gap: tokens.spacingHorizontalM,
    gridTemplateColumns: "repeat(auto-fill, minmax(min(230px, 100%), 1fr))",
    margin: 0,
    padding: 0,
    listStyle: "none",
  },
  day: {
    padding: tokens.spacingHorizontalM,
    borderRadius: tokens.borderRadiusLarge,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  dayTitle: { margin: `0 0 ${tokens.spacingVerticalXS}`, fontWeight: tokens.fontWeightSemibold },
  optionTitle: {
    margin: `0 0 ${tokens.spacingVerticalXS}`,
    fontSize: tokens.fontSizeBase300,
    fontWeight: tokens.fontWeightSemibold,
  },
  stop: { display: "flex", gap: tokens.spacingHorizontalS, padding: "3px 0" },
  time: {
    flexShrink: 0,
    minWidth: "44px",
    color: tokens.colorNeutralForeground3,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
    fontVariantNumeric: "tabular-nums",
  },
});

export const PoisView = memo(function PoisView({ pois }: { readonly pois: readonly Poi[] }) {
  const styles = useStyles();
  const map = useMemo(() => poiMap(pois, WIDTH, HEIGHT - BAR), [pois]);
  return (
    <div className={styles.pois}>
      {map && <PlaceMap map={map} />}
      <ol className={styles.list} aria-label="Points of interest">
        {pois.map((poi, at) => (
          <li key={at} className={styles.poi}>
            <span className={styles.number} aria-hidden>
              {at + 1}
            </span>
            <div>
              <span className={styles.name}>{poi.name}</span>{" "}
              {poi.category && (
                <Badge appearance="tint" size="small">
                  {poi.category}
                </Badge>
              )}
              {(poi.where ?? poi.about) && (
                <div className={styles.quiet}>{[poi.where, poi.about].filter(Boolean).join(" · ")}</div>
              )}
            </div>
          </li>
        ))}
      </ol>
    </div>
  );
});

/** A schematic map: only the relative positions. */
function PlaceMap({ map }: { readonly map: PoiMap }) {
  const styles = useStyles();
  return (
    <svg
      className={styles.map}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={`Map of ${map.spots.length} places`}
    >
      {[1, 2, 3, 4, 5].map((at) => (
        <line key={`v${at}`} className={styles.grid} x1={at * 80} x2={at * 80} y1={0} y2={HEIGHT} />
      ))}
      {[1, 2, 3].map((at) => (
        <line key={`h${at}`} className={styles.grid} x1={0} x2={WIDTH} y1={at * 80} y2={at * 80} />
      ))}
      {map.spots.map(({ poi, number, x, y }) => (
        <g key={number}>
          <title>{poi.name}</title>
          <circle className={styles.pin} cx={x} cy={y} r={11} />
          <text className={styles.pinText} x={x} y={y + 4} textAnchor="middle">
            {number}
          </text>
        </g>
      ))}
      <path className={styles.line} d={`M12 ${HEIGHT - 18}v6h${map.bar.length.toFixed(1)}v-6`} fill="none" />
      <text className={styles.mapText} x={18 + map.bar.length} y={HEIGHT - 11}>
        {map.bar.km >= 1 ? `${map.bar.km} km` : `${Math.round(map.bar.km * 1000)} m`}
      </text>
      <text className={styles.mapText} x={WIDTH - 20} y={20} textAnchor="middle">
        N ↑
      </text>
    </svg>
  );
}

export function RequirementsView({ requirements }: { readonly requirements: readonly Requirement[] }) {
  const styles = useStyles();
  return (
    <ul className={styles.list} aria-label="Requirements">
      {requirements.map(({ text, priority }, at) => (
        <li key={at}>
          {text}{" "}
          {priority && (
            <Badge appearance="tint" size="small" color={/high|must/i.test(priority) ? "warning" : "informative"}>
              {priority}
            </Badge>
          )}
        </li>
      ))}
    </ul>
  );
}

export function ItineraryView({ options }: { readonly options: readonly Option[] }) {
  const styles = useStyles();
  return options.map(({ title, about, days }, option) => (
    <div key={option}>
      {options.length > 1 && <p className={styles.optionTitle}>{title}</p>}
      {about && <p className={styles.quiet}>{about}</p>}
      <ol className={styles.days}>
        {days.map((day, at) => (
          <li key={at} className={styles.day}>
            <p className={styles.dayTitle}>{day.title}</p>
            {day.about && <p className={styles.quiet}>{day.about}</p>}
            <ul className={styles.list} style={{ gap: 0 }}>
              {day.stops.map((stop, number) => (
                <li key={number} className={styles.stop}>
                  {stop.time && <span className={styles.time}>{stop.time}</span>}
                  <span>
                    {stop.name}
                    {stop.about && <span className={styles.quiet}> {stop.about}</span>}
                  </span>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </div>
  ));
}
