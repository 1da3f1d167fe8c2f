import { makeStyles, Subtitle1, Text, tokens } from "@fluentui/react-components";
import { Wordmark } from "../shell/wordmark.js";
import { useTitle } from "../shell/title.js";
import type { Access, SessionStore } from "./session.js";
import { TokenForm } from "./token_form.js";

const useStyles = makeStyles({
  page: {
    minHeight: "100%",
    display: "grid",
    placeItems: "center",
    padding: tokens.spacingHorizontalL,
    boxSizing: "border-box",
    backgroundColor: tokens.colorNeutralBackground2,
  },
  card: {
    width: "min(26rem, 100%)",
    boxSizing: "border-box",
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalL,
    padding: tokens.spacingHorizontalXXXL,
    borderRadius: tokens.borderRadiusXLarge,
    backgroundColor: tokens.colorNeutralBackground1,
    boxShadow: tokens.shadow16,
  },
  heading: { margin: 0 },
  quiet: { color: tokens.colorNeutralForeground2 },
  code: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200 },
});

type Closed = Extract<Access, { readonly state: "closed" }>;

const HEADINGS: Readonly<Record<Closed["why"], string>> = {
  needed: "Sign in to watch plans",
  refused: "The token was not accepted",
  expired: "Your sign-in has expired",
};

/** The sign-in page. */
export function SignIn({ access, session }: { readonly access: Closed; readonly session: SessionStore }) {
  const styles = useStyles();
  useTitle("Sign in");
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <Wordmark />
        <Subtitle1 as="h1" className={styles.heading}>
          {HEADINGS[access.why]}
        </Subtitle1>
        <Text className={styles.quiet}>
          This hub requires a token. Paste the one you were given; the operator creates tokens with{" "}
          <code className={styles.code}>plancast token</code>.
        </Text>
        <TokenForm submitLabel="Sign in" problem={problemOf(access)} onToken={(token) => session.signIn(token)} />
      </div>
    </main>
  );
}

function problemOf({ why, detail }: Closed): string | undefined {
  if (why === "needed") return undefined;
  return why === "expired"
    ? "The last token has expired. Paste a new one."
    : `The hub refused it: ${detail ?? "no reason given"}`;
}
