import { element } from './element.ts';
import type { LineState } from './line.ts';
import type { Session } from './session.ts';
import { describe, type Standing } from './standing.ts';

/** While somebody types, "saving" and "saved" would alternate with every key; "saved" waits for a pause, in ms. */
const savedDelay = 300;
/** A screen reader is told what lasts this long, in ms, not what passes. */
const announceDelay = 1500;

/** Keeps the words about the line and about the edits up to date. @returns a function that stops it */
export function showStatus({ line, saves, permission, isKept }: Session): () => void {
  const status = element('status', HTMLParagraphElement);
  const announcer = element('announcer', HTMLParagraphElement);
  const retry = element('retry', HTMLButtonElement);
  let shown: Standing | undefined;
  let painting: ReturnType<typeof setTimeout> | undefined;
  let announcing: ReturnType<typeof setTimeout> | undefined;

  const paint = (): void => {
    const standing = describe({ line: line.state, saves, isReader: permission.isReader, isKept });
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
    retry.hidden = seconds === undefined;
  };
  const change = (): void => {
    clearTimeout(painting);
    const isSaved = line.state.kind === 'online' && saves.state === 'saved';
    if (isSaved && shown?.saves.startsWith('Saving')) painting = setTimeout(paint, savedDelay);
    else paint();
  };
  const stops = [line.subscribe(change), saves.subscribe(change), permission.subscribe(change)];
  const counting = setInterval(count, 1000);
  retry.addEventListener('click', line.retry);
  paint();
  return () => {
    for (const stop of stops) stop();
    retry.removeEventListener('click', line.retry);
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
