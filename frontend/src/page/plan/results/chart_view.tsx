import { makeStyles, tokens } from "@fluentui/react-components";
import { memo } from "react";
import { type Chart, labelEvery, linePath, scale, shortNumber, ticks } from "./charting.js";
import { label } from "./fields.js";

const WIDTH = 640;
const HEIGHT = 240;
const LEFT = 48;
const BOTTOM = 26;
const TOP = 10;

const COLOURS = [
  tokens.colorBrandStroke1,
  tokens.colorPalettePumpkinBorderActive,
  tokens.colorPaletteTealBorderActive,
] as const;

const useStyles = makeStyles({
  chart: { display: "block", width: "100%", height: "auto", maxWidth: "760px" },
  text: { fontSize: "11px", fill: tokens.colorNeutralForeground3 },
  grid: { stroke: tokens.colorNeutralStroke3 },
  legend: {
    display: "flex",
    flexWrap: "wrap",
    gap: tokens.spacingHorizontalM,
    fontSize: tokens.fontSizeBase200,
    color: tokens.colorNeutralForeground2,
  },
  sample: { display: "inline-block", width: "10px", height: "10px", marginRight: "6px", borderRadius: "2px" },
});

/** A bar chart, or a line chart over time. Screen readers use the table beside it. */
export const ChartView = memo(function ChartView({ chart }: { readonly chart: Chart }) {
  const styles = useStyles();
  const marks = ticks(chart.series);
  const y = scale(marks, HEIGHT - BOTTOM, TOP);
  const names = chart.series.map(({ name }) => label(name)).join(", ");
  return (
    <figure style={{ margin: 0 }}>
      <svg className={styles.chart} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Chart: ${names}`}>
        {marks.map((mark) => (
          <g key={mark}>
            <line className={styles.grid} x1={LEFT} x2={WIDTH} y1={y(mark)} y2={y(mark)} />
            <text className={styles.text} x={LEFT - 8} y={y(mark) + 4} textAnchor="end">
              {shortNumber(mark)}
            </text>
          </g>
        ))}
        {chart.kind === "bars" ? <Bars chart={chart} y={y} /> : <Lines chart={chart} y={y} />}
        <Labels chart={chart} />
      </svg>
      {chart.series.length > 1 && (
        <figcaption className={styles.legend}>
          {chart.series.map(({ name }, at) => (
            <span key={name}>
              <span className={styles.sample} style={{ backgroundColor: COLOURS[at] }} />
              {label(name)}
            </span>
          ))}
        </figcaption>
      )}
    </figure>
  );
});

interface Drawing {
  readonly chart: Chart;
  readonly y: (value: number) => number;
}

function Bars({ chart, y }: Drawing) {
  const room = (WIDTH - LEFT) / chart.labels.length;
  const width = Math.min(48, (room * 0.7) / chart.series.length);
  return chart.series.map(({ name, values }, which) =>
    values.map((value, at) => {
      if (value === null) return null;
      const middle = LEFT + room * (at + 0.5) + (which - (chart.series.length - 1) / 2) * width;
      const [top, bottom] = [Math.min(y(value), y(0)), Math.max(y(value), y(0))];
      return (
        <rect
          key={`${name} ${at}`}
          x={middle - width / 2 + 1}
          y={top}
          width={Math.max(1, width - 2)}
          height={Math.max(1, bottom - top)}
          rx={2}
          fill={COLOURS[which]}
        >
          <title>{`${chart.labels[at] ?? ""}: ${value.toLocaleString("en-GB")}`}</title>
        </rect>
      );
    }),
  );
}

function Lines({ chart, y }: Drawing) {
  const x = pointX(chart);
  return chart.series.map(({ name, values }, which) => (
    <g key={name} stroke={COLOURS[which]} fill="none" strokeWidth={2}>
      <path d={linePath(values, x, y)} strokeLinejoin="round" />
      {values.map((value, at) =>
        value === null ? null : (
          <circle key={at} cx={x(at)} cy={y(value)} r={3} fill={COLOURS[which]} stroke="none">
            <title>{`${chart.labels[at] ?? ""}: ${value.toLocaleString("en-GB")}`}</title>
          </circle>
        ),
      )}
    </g>
  ));
}

function pointX({ labels }: Chart): (at: number) => number {
  const room = WIDTH - LEFT - 24;
  return (at) => LEFT + 12 + (labels.length > 1 ? (at * room) / (labels.length - 1) : room / 2);
}

function Labels({ chart }: { readonly chart: Chart }) {
  const styles = useStyles();
  const longest = Math.max(...chart.labels.map((one) => one.length));
  const every = labelEvery(chart.labels.length, WIDTH - LEFT, longest);
  const room = (WIDTH - LEFT) / chart.labels.length;
  const x = chart.kind === "bars" ? (at: number) => LEFT + room * (at + 0.5) : pointX(chart);
  const most = Math.max(4, Math.floor((room * every) / 6));
  return chart.labels.map((text, at) =>
    at % every === 0 ? (
      <text key={at} className={styles.text} x={x(at)} y={HEIGHT - 8} textAnchor="middle">
        {text.length > most ? `${text.slice(0, most - 1)}…` : text}
      </text>
    ) : null,
  );
}
