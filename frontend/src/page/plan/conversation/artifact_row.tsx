import { Link, makeStyles, tokens } from "@fluentui/react-components";
import { Document16Regular, Image16Regular, Open16Regular } from "@fluentui/react-icons";
import { memo, useState } from "react";
import type { ArtifactState } from "../../../client/index.js";
import { CsvTable } from "../results/csv_table.js";
import { JsonView } from "../results/json_view.js";
import { Markdown } from "./markdown.js";
import { safeImage, safeLink } from "./urls.js";

const useStyles = makeStyles({
  card: {
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusLarge,
    overflow: "hidden",
    maxWidth: "100%",
  },
  head: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground2,
    fontSize: tokens.fontSizeBase200,
  },
  name: { fontWeight: tokens.fontWeightSemibold, overflowWrap: "anywhere" },
  type: { color: tokens.colorNeutralForeground3 },
  open: { marginLeft: "auto" },
  body: { padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalM}`, maxHeight: "420px", overflow: "auto" },
  image: { display: "block", maxWidth: "100%", maxHeight: "420px" },
  blocked: { color: tokens.colorStatusWarningForeground1 },
});

/** An artifact: its content if it can be shown, else a link to it. */
export const ArtifactCard = memo(function ArtifactCard({ artifact }: { readonly artifact: ArtifactState }) {
  const styles = useStyles();
  const link = safeLink(artifact.url);
  const isImage = artifact.mime_type.startsWith("image/");
  return (
    <figure className={styles.card} style={{ margin: 0 }}>
      <figcaption className={styles.head}>
        {isImage ? <Image16Regular aria-hidden /> : <Document16Regular aria-hidden />}
        <span className={styles.name}>{artifact.name}</span>
        <span className={styles.type}>{artifact.mime_type}</span>
        {link && (
          <Link className={styles.open} href={link} target="_blank" rel="noopener noreferrer">
            Open <Open16Regular aria-hidden />
          </Link>
        )}
        {artifact.url !== undefined && !link && !safeImage(artifact.url) && (
          <span className={styles.blocked}>Its address is not allowed.</span>
        )}
      </figcaption>
      <ArtifactBody artifact={artifact} />
    </figure>
  );
});

function ArtifactBody({ artifact }: { readonly artifact: ArtifactState }) {
  const styles = useStyles();
  const [broken, setBroken] = useState(false);
  const { data, mime_type: type, name } = artifact;
  const image = type.startsWith("image/") ? safeImage(artifact.url ?? imageData(data, type)) : null;
  if (image && !broken) {
    return (
      <img
        className={styles.image}
        src={image}
        alt={name}
        loading="lazy"
        referrerPolicy="no-referrer"
        onError={() => setBroken(true)}
      />
    );
  }
  if (broken) return <div className={styles.body}>The image could not be loaded.</div>;
  if (data === undefined || data === null) return null;
  return (
    <div className={styles.body} tabIndex={0} role="group" aria-label={name}>
      <Content type={type} data={data} />
    </div>
  );
}

function Content({ type, data }: { readonly type: string; readonly data: unknown }) {
  if (typeof data !== "string") return <JsonView value={data} />;
  if (type.startsWith("text/markdown")) return <Markdown text={data} />;
  if (type.startsWith("text/csv")) return <CsvTable text={data} />;
  return <pre style={{ margin: 0, whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>{data}</pre>;
}

/** Image data is a data: URL, or base64. */
function imageData(data: unknown, type: string): string | undefined {
  if (typeof data !== "string") return undefined;
  return data.startsWith("data:") ? data : `data:${type};base64,${data}`;
}
