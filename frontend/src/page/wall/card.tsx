import {
  Badge,
  Button,
  Caption1,
  makeStyles,
  mergeClasses,
  ProgressBar,
  Subtitle2,
  Text,
  tokens,
} from "@fluentui/react-components";
import { DismissRegular, PersonQuestionMarkRegular } from "@fluentui/react-icons";
import { memo } from "react";
import { usePlan } from "../../react/index.js";
import { ViewLink } from "../navigation.js";
import { StatusMark } from "../plan/status/status_mark.js";
import { planStatusLabel } from "../plan/status/labels.js";
import { planHref } from "../routes.js";
import { ago } from "../shell/now.js";
import { cardView, type CardView, sameCard } from "./card_view.js";

/** Clamps text to this many lines. */
const lines = (most: number) =>
  ({ display: "-webkit-box", WebkitBoxOrient: "vertical", WebkitLineClamp: most, overflow: "hidden" }) as const;

const useStyles = makeStyles({
  card: {
    position: "relative",
    height: "100%",
    minHeight: "13rem",
    boxSizing: "border-box",
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalS,
    padding: tokens.spacingHorizontalL,
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusXLarge,
    ":hover": { boxShadow: tokens.shadow8 },
  },
  asks: { borderTop: `3px solid ${tokens.colorPaletteMarigoldBorderActive}` },
  top: { display: "flex", gap: tokens.spacingHorizontalS, paddingRight: "28px" },
  mark: { display: "flex", alignItems: "center", height: tokens.lineHeightBase400 },
  link: {
    minWidth: 0,
    color: "inherit",
    textDecorationLine: "none",
    // The whole card is a link; buttons are above it.
    "::after": { content: '""', position: "absolute", inset: 0, borderRadius: tokens.borderRadiusXLarge },
    ":focus-visible": { outlineStyle: "none" },
    ":focus-visible::after": { outline: `2px solid ${tokens.colorStrokeFocus2}`, outlineOffset: "-2px" },
  },
  title: { margin: 0, overflowWrap: "anywhere", ...lines(2) },
  off: { position: "absolute", zIndex: 1, top: tokens.spacingVerticalS, right: tokens.spacingHorizontalS },
  quiet: { color: tokens.colorNeutralForeground2 },
  text: { lineHeight: tokens.lineHeightBase300, overflowWrap: "anywhere", ...lines(4) },
  foot: {
    marginTop: "auto",
    display: "flex",
    justifyContent: "space-between",
    gap: tokens.spacingHorizontalS,
    color: tokens.colorNeutralForeground2,
  },
});

interface CardProps {
  readonly planId: string;
  readonly now: number;
  readonly onOff: (planId: string) => void;
}

/** One plan on the wall, live. */
export const WallCard = memo(function WallCard({ planId, now, onOff }: CardProps) {
  const styles = useStyles();
  const card = usePlan(planId, cardView, sameCard);
  const name = card.title ?? planId;
  return (
    <article className={mergeClasses(styles.card, card.questions > 0 && styles.asks)} aria-label={name}>
      <div className={styles.top}>
        {card.status && (
          <span className={styles.mark}>
            <StatusMark status={card.status} />
          </span>
        )}
        <ViewLink href={planHref(planId)} className={styles.link}>
          <Subtitle2 as="h2" className={styles.title}>
            {name}
          </Subtitle2>
        </ViewLink>
      </div>
      <Button
        className={styles.off}
        size="small"
        appearance="subtle"
        icon={<DismissRegular />}
        aria-label={`Remove from the wall: ${name}`}
        onClick={() => onOff(planId)}
      />
      <Body card={card} name={name} />
      <Foot card={card} now={now} />
    </article>
  );
});

function Body({ card, name }: { readonly card: CardView; readonly name: string }) {
  const styles = useStyles();
  if (card.phase === "refused")
    return <Text className={styles.quiet}>{card.error?.message ?? "This plan cannot be watched."}</Text>;
  if (!card.status)
    return <Text className={styles.quiet}>{card.phase === "live" ? "No events yet." : "Loading…"}</Text>;
  return (
    <>
      <ProgressBar
        value={(card.progress ?? 0) / 100}
        thickness="large"
        color={card.status === "error" ? "error" : card.status === "completed" ? "success" : "brand"}
        aria-label={`${name}: ${card.progress ?? 0} %`}
      />
      {card.steps && <Caption1 className={styles.quiet}>{card.steps}</Caption1>}
      {card.text && (
        <Text className={styles.text}>
          {card.agent && <strong>{card.agent}: </strong>}
          {card.text}
        </Text>
      )}
      {card.questions > 0 && (
        <span>
          <Badge appearance="tint" color="warning" icon={<PersonQuestionMarkRegular />}>
            {card.questions === 1 ? "A question waits" : `${card.questions} questions wait`}
          </Badge>
        </span>
      )}
    </>
  );
}

function Foot({ card, now }: { readonly card: CardView; readonly now: number }) {
  const styles = useStyles();
  if (!card.status) return null;
  return (
    <Caption1 className={styles.foot}>
      <span>
        {planStatusLabel(card.status)}
        {card.stepsInAll > 0 && ` · ${card.stepsOver} of ${card.stepsInAll} steps`}
      </span>
      {card.updatedAt && <span>{ago(card.updatedAt, now)}</span>}
    </Caption1>
  );
}
