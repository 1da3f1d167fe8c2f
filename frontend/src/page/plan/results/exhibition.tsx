import { Link, makeStyles, tokens } from "@fluentui/react-components";
import { Open16Regular } from "@fluentui/react-icons";
import { useState } from "react";
import { agentGround, agentText } from "../agents/colour.js";
import { AgentFace } from "../agents/agent_name.js";
import { Markdown } from "../conversation/markdown.js";
import { safeImage, safeLink } from "../conversation/urls.js";
import type { Artist, Artwork, Section } from "./sections.js";

const useStyles = makeStyles({
  theme: {
    padding: tokens.spacingHorizontalXL,
    borderRadius: tokens.borderRadiusXLarge,
    backgroundColor: tokens.colorBrandBackground2,
    color: tokens.colorNeutralForeground1,
  },
  title: {
    margin: 0,
    fontSize: tokens.fontSizeBase600,
    lineHeight: tokens.lineHeightBase600,
    fontWeight: tokens.fontWeightSemibold,
    overflowWrap: "anywhere",
  },
  subtitle: {
    margin: `${tokens.spacingVerticalXXS} 0 ${tokens.spacingVerticalM}`,
    fontSize: tokens.fontSizeBase400,
    lineHeight: tokens.lineHeightBase400,
    color: tokens.colorBrandForeground2,
  },
  rationale: {
    marginTop: tokens.spacingVerticalM,
    color: tokens.colorNeutralForeground2,
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
  },
  grid: {
    display: "grid",
    gap: tokens.spacingHorizontalM,
    gridTemplateColumns: "repeat(auto-fill, minmax(min(210px, 100%), 1fr))",
    listStyle: "none",
    margin: 0,
    padding: 0,
  },
  card: {
    display: "flex",
    flexDirection: "column",
    minWidth: 0,
    overflow: "hidden",
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusLarge,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  inner: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalXS,
    padding: tokens.spacingHorizontalM,
    flexGrow: 1,
  },
  who: { display: "flex", alignItems: "center", gap: tokens.spacingHorizontalS },
  name: { fontWeight: tokens.fontWeightSemibold, overflowWrap: "anywhere" },
  quiet: { color: tokens.colorNeutralForeground3, fontSize: tokens.fontSizeBase200 },
  about: {
    fontSize: tokens.fontSizeBase200,
    lineHeight: tokens.lineHeightBase300,
    color: tokens.colorNeutralForeground2,
    overflowWrap: "anywhere",
  },
  picture: {
    display: "flex",
    alignItems: "center",
    justifyContent: "center",
    aspectRatio: "4 / 3",
    width: "100%",
    objectFit: "cover",
    fontSize: "32px",
    fontWeight: tokens.fontWeightSemibold,
    letterSpacing: "0.04em",
  },
  manifest: { display: "inline-flex", alignItems: "center", gap: tokens.spacingHorizontalXXS, fontSize: "inherit" },
  links: {
    marginTop: "auto",
    paddingTop: tokens.spacingVerticalXS,
    display: "flex",
    justifyContent: "space-between",
    gap: tokens.spacingHorizontalS,
    fontSize: tokens.fontSizeBase200,
  },
});

type Theme = Extract<Section, { readonly kind: "theme" }>;

export function ThemeView({ theme }: { readonly theme: Theme }) {
  const styles = useStyles();
  return (
    <div className={styles.theme}>
      <p className={styles.title}>{theme.title}</p>
      {theme.subtitle && <p className={styles.subtitle}>{theme.subtitle}</p>}
      {theme.statement && <Markdown text={theme.statement} />}
      {theme.rationale && (
        <div className={styles.rationale}>
          <Markdown text={theme.rationale} />
        </div>
      )}
    </div>
  );
}

export function ArtistsView({ artists }: { readonly artists: readonly Artist[] }) {
  const styles = useStyles();
  return (
    <ul className={styles.grid} aria-label="Artists">
      {artists.map(({ name, years, score, about }, at) => (
        <li key={at} className={styles.card}>
          <div className={styles.inner}>
            <div className={styles.who}>
              <AgentFace name={name} />
              <div>
                <div className={styles.name}>{name}</div>
                {years && <div className={styles.quiet}>{years}</div>}
              </div>
            </div>
            {about && <div className={styles.about}>{about}</div>}
            {score !== undefined && (
              <div className={styles.links}>
                <Match score={score} />
              </div>
            )}
          </div>
        </li>
      ))}
    </ul>
  );
}

export function ArtworksView({ artworks }: { readonly artworks: readonly Artwork[] }) {
  const styles = useStyles();
  return (
    <ul className={styles.grid} aria-label="Artworks">
      {artworks.map((artwork, at) => (
        <li key={at} className={styles.card}>
          <Picture artwork={artwork} />
          <div className={styles.inner}>
            <div className={styles.name}>{artwork.title}</div>
            <div className={styles.quiet}>{[artwork.artist, artwork.year].filter(Boolean).join(", ")}</div>
            {artwork.about && <div className={styles.about}>{artwork.about}</div>}
            <div className={styles.links}>
              {artwork.score !== undefined && <Match score={artwork.score} />}
              <Manifest artwork={artwork} />
            </div>
          </div>
        </li>
      ))}
    </ul>
  );
}

function Manifest({ artwork }: { readonly artwork: Artwork }) {
  const styles = useStyles();
  const link = safeLink(artwork.manifest);
  if (!link) return null;
  return (
    <Link
      className={styles.manifest}
      href={link}
      target="_blank"
      rel="noopener noreferrer"
      aria-label={`IIIF manifest of ${artwork.title}`}
    >
      IIIF <Open16Regular aria-hidden />
    </Link>
  );
}

/** The image; without one, the title's initials in the artist's colour. */
function Picture({ artwork }: { readonly artwork: Artwork }) {
  const styles = useStyles();
  const [broken, setBroken] = useState(false);
  const image = safeImage(artwork.image);
  if (image && !broken) {
    return (
      <img
        className={styles.picture}
        src={image}
        alt={artwork.title}
        loading="lazy"
        referrerPolicy="no-referrer"
        onError={() => setBroken(true)}
      />
    );
  }
  const colour = artwork.artist ?? artwork.title;
  return (
    <span
      className={styles.picture}
      style={{ color: agentText(colour), backgroundColor: agentGround(colour) }}
      aria-hidden
    >
      {initials(artwork.title)}
    </span>
  );
}

function initials(title: string): string {
  const capitalised = title.split(/\s+/).filter((part) => /^[\p{Lu}\d]/u.test(part));
  return capitalised
    .slice(0, 2)
    .map((part) => part.charAt(0))
    .join("");
}

function Match({ score }: { readonly score: number }) {
  const styles = useStyles();
  return <span className={styles.quiet}>{`${Math.round(score * 100)} % match`}</span>;
}
