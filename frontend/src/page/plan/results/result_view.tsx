import { makeStyles, tokens } from "@fluentui/react-components";
import { memo, useMemo } from "react";
import { Markdown } from "../conversation/markdown.js";
import { ChartView } from "./chart_view.js";
import { chartOf } from "./charting.js";
import { ArtistsView, ArtworksView, ThemeView } from "./exhibition.js";
import { JsonFold, JsonView } from "./json_view.js";
import type { Fields } from "./fields.js";
import { type Section, sectionsOf } from "./sections.js";
import { TableView } from "./table_view.js";
import { ItineraryView, PoisView, RequirementsView } from "./trip.js";
import type { Table } from "./tabular.js";

const useStyles = makeStyles({
  sections: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalM, minWidth: 0 },
  title: {
    margin: `0 0 ${tokens.spacingVerticalXS}`,
    fontSize: tokens.fontSizeBase200,
    fontWeight: tokens.fontWeightSemibold,
    color: tokens.colorNeutralForeground2,
  },
  code: {
    margin: 0,
    padding: tokens.spacingHorizontalM,
    overflowX: "auto",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    borderRadius: tokens.borderRadiusMedium,
    backgroundColor: tokens.colorNeutralBackground3,
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
  },
  both: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalM },
});

/** The result of a step or a plan. Data of an unknown shape is shown as names and values. */
export const ResultView = memo(function ResultView({ data }: { readonly data: Fields }) {
  const sections = useMemo(() => sectionsOf(data), [data]);
  return <SectionsView sections={sections} />;
});

export function SectionsView({ sections }: { readonly sections: readonly Section[] }) {
  const styles = useStyles();
  return (
    <div className={styles.sections}>
      {sections.map((section, at) => (
        <div key={at}>
          {"title" in section && section.kind !== "theme" && section.title && (
            <p className={styles.title}>{section.title}</p>
          )}
          <SectionView section={section} alone={sections.length === 1} />
        </div>
      ))}
    </div>
  );
}

function SectionView({ section, alone }: { readonly section: Section; readonly alone: boolean }) {
  const styles = useStyles();
  switch (section.kind) {
    case "theme":
      return <ThemeView theme={section} />;
    case "artists":
      return <ArtistsView artists={section.artists} />;
    case "artworks":
      return <ArtworksView artworks={section.artworks} />;
    case "table":
      return <TableAndChart table={section.table} title={section.title} />;
    case "pois":
      return <PoisView pois={section.pois} />;
    case "requirements":
      return <RequirementsView requirements={section.requirements} />;
    case "itinerary":
      return <ItineraryView options={section.options} />;
    case "text":
      return <Markdown text={section.text} />;
    case "code":
      return <pre className={styles.code}>{section.text}</pre>;
    case "rest":
      return alone ? <JsonView value={section.value} /> : <JsonFold label="More" value={section.value} />;
  }
}

function TableAndChart({ table, title }: { readonly table: Table; readonly title: string | undefined }) {
  const styles = useStyles();
  const chart = useMemo(() => chartOf(table), [table]);
  return (
    <div className={styles.both}>
      {chart && <ChartView chart={chart} />}
      <TableView table={table} {...(title ? { title } : {})} />
    </div>
  );
}
