import { Button, makeStyles, mergeClasses, Select, Slider, tokens, Tooltip } from "@fluentui/react-components";
import {
  Checkmark20Regular,
  History20Regular,
  Link20Regular,
  Pause20Filled,
  Play20Filled,
} from "@fluentui/react-icons";
import { memo, useState } from "react";
import type { Place } from "../../../client/index.js";
import { moment } from "../status/durations.js";
import type { Landmark } from "./landmarks.js";
import { momentLink } from "./moments.js";
import { type Speed, SPEEDS } from "./playback.js";
import type { TimeTravel } from "./use_time_travel.js";

const useStyles = makeStyles({
  bar: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalS,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalL}`,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
    fontSize: tokens.fontSizeBase200,
    "@container plan (max-width: 640px)": { padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalS}` },
  },
  track: { position: "relative", flexGrow: 1, flexBasis: "160px", minWidth: "120px" },
  slider: { width: "100%", minHeight: "32px" },
  marks: { position: "absolute", left: "10px", right: "10px", top: "3px", height: "5px", pointerEvents: "none" },
  mark: { position: "absolute", width: "3px", height: "5px", marginLeft: "-1.5px", borderRadius: "2px" },
  where: {
    minWidth: "4ch",
    color: tokens.colorNeutralForeground2,
    fontVariantNumeric: "tabular-nums",
    whiteSpace: "nowrap",
  },
  quiet: { color: tokens.colorNeutralForeground3 },
  error: { flexBasis: "100%", margin: 0, color: tokens.colorStatusWarningForeground1 },
  wideOnly: { "@container plan (max-width: 640px)": { display: "none" } },
});

const MARK_COLOURS: Readonly<Record<Landmark["kind"], string>> = {
  step: tokens.colorStatusSuccessForeground3,
  trouble: tokens.colorStatusDangerForeground3,
  question: tokens.colorStatusWarningForeground3,
  end: tokens.colorNeutralForeground3,
};

interface Props {
  readonly planId: string;
  /** The plan's current position. */
  readonly place: Place;
  readonly back: TimeTravel;
}

/** The slider through a plan's history, with playback. */
export const Scrubber = memo(function Scrubber({ planId, place, back }: Props) {
  const styles = useStyles();
  const { past, offset, goTo } = back;
  const head = Math.max(place.offset, past.end);
  const shown = offset ?? head;
  const at = past.moments[shown - past.start - 1];
  const where = offset === null ? "Now" : `${shown} of ${head}`;
  const when = offset === null || at === undefined ? "" : moment(at);
  return (
    <div className={styles.bar} role="group" aria-label="History" data-scrubber>
      <PlayButton back={back} />
      <div className={styles.track}>
        <Landmarks landmarks={past.landmarks} start={past.start} head={head} known={past.end} />
        <Slider
          className={styles.slider}
          size="small"
          min={past.start}
          max={Math.max(head, past.start + 1)}
          value={shown}
          disabled={head === 0}
          aria-label="Moment of the plan"
          aria-valuetext={offset === null ? `Now, event ${head}` : `Event ${shown} of ${head}${when && `, ${when}`}`}
          onChange={(_, { value }) => goTo(value >= head ? null : value)}
        />
      </div>
      <span className={styles.where}>
        {where}{" "}
        <span className={mergeClasses(styles.quiet, styles.wideOnly)}>
          {back.loading && offset !== null && past.end < shown ? "loading…" : when}
        </span>
      </span>
      {offset !== null && <SpeedChoice speed={back.speed} onSpeed={back.setSpeed} />}
      <ShareMoment planId={planId} place={offset === null ? null : { epoch: place.epoch, offset: shown }} />
      {offset !== null && (
        <Button size="small" appearance="primary" onClick={() => goTo(null)}>
          Live
        </Button>
      )}
      <Limits back={back} />
    </div>
  );
});

/** Why parts of the history are not available. */
function Limits({ back: { past, error } }: { readonly back: TimeTravel }) {
  const styles = useStyles();
  const lost = "This moment is no longer in the plan's history. Showing the plan as it is now.";
  return (
    <>
      {error && (
        <p className={styles.error} role="alert">
          {error.code === "continuity_lost" ? lost : `The history could not be loaded: ${error.message}`}
        </p>
      )}
      {past.start > 0 && (
        <p className={styles.error}>{`Earlier events, up to ${past.start}, are no longer available.`}</p>
      )}
    </>
  );
}

function PlayButton({ back }: { readonly back: TimeTravel }) {
  const name = back.playing ? "Pause playback" : "Play back";
  return (
    <Tooltip content={name} relationship="label">
      <Button
        size="small"
        appearance="subtle"
        icon={back.playing ? <Pause20Filled /> : back.offset === null ? <History20Regular /> : <Play20Filled />}
        onClick={back.playing ? back.pause : back.play}
      />
    </Tooltip>
  );
}

function SpeedChoice({ speed, onSpeed }: { readonly speed: Speed; readonly onSpeed: (speed: Speed) => void }) {
  return (
    <Select
      size="small"
      appearance="underline"
      aria-label="Playback speed"
      value={speed}
      onChange={(_, { value }) => onSpeed(SPEEDS.find((one) => String(one) === value) ?? 1)}
    >
      {SPEEDS.map((one) => (
        <option key={one} value={one}>{`${one}×`}</option>
      ))}
    </Select>
  );
}

function ShareMoment({ planId, place }: { readonly planId: string; readonly place: Place | null }) {
  const [copied, setCopied] = useState<string | null>(null);
  const link = momentLink(window.location, planId, place);
  const done = copied === link;
  const name = done ? "Link copied" : place ? "Copy a link to this moment" : "Copy a link to this plan";
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      setCopied(link);
    } catch {
      window.prompt("Copy this link", link); // not allowed, or no clipboard: the page was loaded over plain HTTP
    }
  };
  return (
    <Tooltip content={name} relationship="label">
      <Button
        size="small"
        appearance="subtle"
        icon={done ? <Checkmark20Regular /> : <Link20Regular />}
        onClick={() => void copy()}
        data-share={link}
      />
    </Tooltip>
  );
}

interface LandmarksProps {
  readonly landmarks: readonly Landmark[];
  readonly start: number;
  readonly head: number;
  /** The offset up to which they are known; changes when the list, which is mutated, has grown. */
  readonly known: number;
}

const MAX_MARKS = 200;

const Landmarks = memo(function Landmarks({ landmarks, start, head }: LandmarksProps) {
  const styles = useStyles();
  const every = Math.max(1, Math.ceil(landmarks.length / MAX_MARKS));
  const length = Math.max(1, head - start);
  return (
    <div className={styles.marks} aria-hidden>
      {landmarks.map(({ offset, kind, text }, at) =>
        at % every === 0 ? (
          <span
            key={offset}
            title={text}
            className={styles.mark}
            style={{ left: `${(100 * (offset - start)) / length}%`, backgroundColor: MARK_COLOURS[kind] }}
          />
        ) : null,
      )}
    </div>
  );
});
