import type { SaveState, Saves } from '../../server/browser.ts';
import { element } from './element.ts';
import type { Session } from './session.ts';

/** While somebody types, "saving" and "saved" would alternate with every key; "saved" waits for a pause, in ms. */
const savedDelay = 300;
/** A screen reader is told what lasts this long, in ms, not what passes. */
const announceDelay = 1500;

/** Keeps the two words about the line and about the edits up to date. @returns a function that stops it */
export function showStatus({ provider, saves }: Session): () => void {
  const status = element('status', HTMLParagraphElement);
  const announcer = element('announcer', HTMLParagraphElement);
  let closed: string | undefined;
  let painting: ReturnType<typeof setTimeout> | undefined;
  let announcing: ReturnType<typeof setTimeout> | undefined;

  const paint = (): void => {
    const line = closed ?? lineText(saves.state);
    const saved = savesText(saves, closed !== undefined);
    status.dataset.state = closed === undefined ? saves.state : 'closed';
    status.dataset.unsaved = String(saves.unsaved);
    element('line', HTMLSpanElement).textContent = line;
    element('saves', HTMLSpanElement).textContent = saved;
    clearTimeout(announcing);
    announcing = setTimeout(() => announce(announcer, `${line}. ${saved}`), announceDelay);
  };
  const change = (): void => {
    clearTimeout(painting);
    if (saves.state === 'saved' && status.dataset.state === 'saving')
      painting = setTimeout(paint, savedDelay);
    else paint();
  };
  // The server said that trying again is of no use: no right to this document, or no such document.
  const onClosed = ({ code, reason }: { code: number; reason: string }): void => {
    closed = `Closed by the server: ${reason || 'no reason given'} (${code})`;
    change();
  };
  provider.on('closed', onClosed);
  const unsubscribe = saves.subscribe(change);
  paint();
  return () => {
    unsubscribe();
    provider.off('closed', onClosed);
    clearTimeout(painting);
    clearTimeout(announcing);
  };
}

/** How many edits closing this page would lose. */
export function edits({ unsaved, refused }: Saves): number {
  return unsaved + refused;
}

function lineText(state: SaveState): string {
  if (state === 'offline') return 'Offline';
  return state === 'connecting' ? 'Connecting…' : 'Online';
}

function savesText(saves: Saves, closed: boolean): string {
  const count = edits(saves) === 1 ? '1 edit' : `${edits(saves)} edits`;
  if (closed) return edits(saves) === 0 ? '' : `${count} not saved: copy your text before you leave`;
  if (saves.state === 'saved') return 'All changes saved';
  if (saves.state === 'saving') return saves.unsaved === 0 ? 'Saving…' : `Saving ${count}…`;
  if (saves.state === 'refused') return `${count} refused by the server: not saved`;
  if (saves.unsaved > 0) return `${count} not saved yet: kept in this tab`;
  return saves.state === 'offline' ? 'No unsaved edits' : 'Loading…';
}

function announce(announcer: HTMLElement, text: string): void {
  if (announcer.textContent !== text) announcer.textContent = text;
}
