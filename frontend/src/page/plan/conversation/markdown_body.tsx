/** The Markdown renderer, loaded on demand. */
import { makeStyles, tokens } from "@fluentui/react-components";
import { memo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { safeImage, safeLink } from "./urls.js";

const useStyles = makeStyles({
  body: {
    overflowWrap: "anywhere",
    lineHeight: tokens.lineHeightBase400,
    "& > :first-child": { marginTop: 0 },
    "& > :last-child": { marginBottom: 0 },
    "& p, & ul, & ol, & blockquote, & table, & pre": {
      marginTop: tokens.spacingVerticalS,
      marginBottom: tokens.spacingVerticalS,
    },
    "& h3, & h4, & h5, & h6": {
      margin: `${tokens.spacingVerticalM} 0 ${tokens.spacingVerticalXS}`,
      fontSize: tokens.fontSizeBase300,
      lineHeight: tokens.lineHeightBase300,
    },
    "& h3": { fontSize: tokens.fontSizeBase400, lineHeight: tokens.lineHeightBase400 },
    "& ul, & ol": { paddingLeft: "22px" },
    "& a": { color: tokens.colorBrandForegroundLink },
    "& code": {
      fontFamily: tokens.fontFamilyMonospace,
      fontSize: "0.92em",
      padding: "1px 4px",
      borderRadius: tokens.borderRadiusSmall,
      backgroundColor: tokens.colorNeutralBackground3,
    },
    "& pre": {
      padding: tokens.spacingHorizontalM,
      overflowX: "auto",
      borderRadius: tokens.borderRadiusMedium,
      backgroundColor: tokens.colorNeutralBackground3,
    },
    "& pre code": { padding: 0, backgroundColor: "transparent" },
    "& blockquote": {
      marginLeft: 0,
      paddingLeft: tokens.spacingHorizontalM,
      borderLeft: `3px solid ${tokens.colorNeutralStroke2}`,
      color: tokens.colorNeutralForeground2,
    },
    "& table": { borderCollapse: "collapse", display: "block", overflowX: "auto", maxWidth: "100%" },
    "& th, & td": {
      padding: "4px 10px",
      borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
      textAlign: "left",
      // Not "anywhere": wide tables scroll instead of breaking words.
      overflowWrap: "break-word",
    },
    "& img": { maxWidth: "100%", maxHeight: "360px", borderRadius: tokens.borderRadiusMedium },
  },
});

/** Headings of agents are below the page's h1 and h2. */
const COMPONENTS: Components = {
  h1: "h3",
  h2: "h4",
  h3: "h5",
  h4: "h6",
  h5: "h6",
  a: ({ href, children }) => {
    const link = safeLink(href);
    return link ? (
      <a href={link} target="_blank" rel="noopener noreferrer">
        {children}
      </a>
    ) : (
      <span>{children}</span>
    );
  },
  img: ({ src, alt }) => {
    const image = safeImage(typeof src === "string" ? src : undefined);
    return image ? <img src={image} alt={alt ?? ""} loading="lazy" referrerPolicy="no-referrer" /> : <span>{alt}</span>;
  },
  pre: ({ children }) => <pre tabIndex={0}>{children}</pre>,
};

const PLUGINS = [remarkGfm];

export default memo(function MarkdownBody({ text }: { readonly text: string }) {
  const styles = useStyles();
  return (
    <div className={styles.body}>
      <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS} urlTransform={unchanged}>
        {text}
      </ReactMarkdown>
    </div>
  );
});

/** No transform: the components above check URLs. */
function unchanged(url: string): string {
  return url;
}
