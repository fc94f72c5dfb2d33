import { element } from './element.ts';
import type { LineState } from './line.ts';
import type { Session } from './session.ts';
import { describe, type Standing } from './standing.ts';

/** While somebody types, "saving" and "saved" would alternate with every key; "saved" waits for a pause, in ms. */
const savedDelay = 300;
/** A screen reader is told what lasts this long, in ms, not what passes. */
const announceDelay = 1500;

/** What is offered when the line is not there. */
interface Offers {
  readonly retry: () => void;
  /** Gives up what the server has not. */
  readonly discard: () => void;
  /** Where a keyboard goes on when what it was on is not offered any more. */
  readonly focusText: () => void;
}

/** Keeps the words about the line and about the edits up to date. @returns a function that stops it */
export function showStatus(session: Session, offers: Offers): () => void {
  const { line, saves, permission, isKept } = session;
  const status = element('status', HTMLParagraphElement);
  const announcer = element('announcer', HTMLParagraphElement);
  const retry = element('retry', HTMLButtonElement);
  const discard = element('discard', HTMLButtonElement);
  let shown: Standing | undefined;
  let painting: ReturnType<typeof setTimeout> | undefined;
  let announcing: ReturnType<typeof setTimeout> | undefined;

  const paint = (): void => {
    const standing = describe({ line: line.state, saves, access: permission.access, isKept });
    shown = standing;
    status.dataset.tone = standing.tone;
    status.dataset.line = line.state.kind;
    element('line', HTMLSpanElement).textContent = standing.line;
    element('saves', HTMLSpanElement).textContent = standing.saves;
    element('notice', HTMLDivElement).hidden = standing.notice === '';
    element('notice-text', HTMLSpanElement).textContent = standing.notice;
    count();
    clearTimeout(announcing);
    announcing = setTimeout(() => announce(announcer, standing), announceDelay);
  };
  const count = (): void => {
    const seconds = secondsLeft(line.state);
    element('countdown', HTMLSpanElement).textContent =
      seconds === undefined ? '' : `Next attempt in ${seconds} s.`;
    const focused = [retry, discard].find((button) => button === document.activeElement);
    const { state } = line;
    const isMendable = state.kind === 'refused' && state.why !== 'no access';
    const isTrying = state.kind === 'away' && seconds === undefined;
    retry.hidden = state.kind !== 'away' && !isMendable;
    retry.ariaDisabled = `${isTrying}`;
    retry.textContent = isTrying ? 'Trying…' : 'Try now';
    discard.hidden = !isMendable;
    if (focused?.hidden === true) offers.focusText();
  };
  const change = (): void => {
    clearTimeout(painting);
    const isSaved = line.state.kind === 'online' && saves.state === 'saved';
    if (isSaved && shown?.saves.startsWith('Saving')) painting = setTimeout(paint, savedDelay);
    else paint();
  };
  const stops = [line.subscribe(change), saves.subscribe(change), permission.subscribe(change)];
  const counting = setInterval(count, 1000);
  retry.addEventListener('click', offers.retry);
  discard.addEventListener('click', offers.discard);
  paint();
  return () => {
    for (const stop of stops) stop();
    retry.removeEventListener('click', offers.retry);
    discard.removeEventListener('click', offers.discard);
    clearInterval(counting);
    clearTimeout(painting);
    clearTimeout(announcing);
  };
}

function secondsLeft(state: LineState): number | undefined {
  if (state.kind !== 'away' || state.retryAt === undefined) return undefined;
  return Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
}

function announce(announcer: HTMLElement, { line, saves, notice }: Standing): void {
  const text = [line, saves, notice].filter((words) => words !== '').join('. ');
  if (announcer.textContent !== text) announcer.textContent = text;
}
