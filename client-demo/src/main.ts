import { readAddress } from './address.ts';
import { lock, openEditor, showHint } from './editor.ts';
import { element } from './element.ts';
import { setUpMe } from './me.ts';
import { showOthers } from './others.ts';
import { openSession, type Session } from './session.ts';
import { edits, showStatus } from './status.ts';

interface OpenDocument {
  readonly session: Session;
  readonly hash: string;
  close(): void;
}

const introduceMe = setUpMe(() => introduceMe(current.session.provider.awareness));
let current = openDocument();

function openDocument(): OpenDocument {
  const session = openSession(readAddress(location));
  const { name, text, provider } = session;
  introduceMe(provider.awareness);
  document.title = `${name} · Indelible`;
  element('name', HTMLHeadingElement).textContent = name;

  const editor = openEditor(element('editor', HTMLElement), text, provider.awareness);
  provider.once('sync', () => showHint(editor));
  provider.once('closed', () => lock(editor));
  const stops = [showOthers(provider.awareness), showStatus(session), () => editor.destroy(), session.close];
  return { session, hash: location.hash, close: () => stops.forEach((stop) => stop()) };
}

window.addEventListener('hashchange', () => {
  if (location.hash === current.hash) return;
  const lost = edits(current.session.saves);
  if (lost > 0 && !confirm(`${lost} of your edits are not saved yet. Leave this document and lose them?`)) {
    history.replaceState(null, '', current.hash || '#');
    return;
  }
  current.close();
  current = openDocument();
});

window.addEventListener('beforeunload', (event) => {
  if (edits(current.session.saves) > 0) event.preventDefault();
});
