import { readAddress } from './address.ts';
import { watchActivity } from './activity.ts';
import { DocumentsDialog } from './documents.ts';
import { countEdits, edits } from './edits.ts';
import { type Editor, openEditor } from './editor.ts';
import { element } from './element.ts';
import { setUpMe } from './me.ts';
import { setUpNetworkPanel } from './network.ts';
import { keepPage } from './offline-page.ts';
import { showOthers } from './others.ts';
import { addRecent } from './recent.ts';
import { openSession, type Session } from './session.ts';
import { ShareDialog } from './share.ts';
import { showStatus } from './status.ts';
import { setUpTheme } from './theme.ts';
import { setUpWordCount } from './words.ts';

interface OpenDocument {
  readonly session: Session;
  readonly editor: Editor;
  /** Of the page's location. */
  readonly hash: string;
  close(): void;
}

setUpTheme();
const countWords = setUpWordCount();
const introduceMe = setUpMe();
let current = await openDocument();

async function openDocument(): Promise<OpenDocument> {
  const { hash } = location;
  const address = readAddress(location);
  document.title = `${address.name} · Indelible`;
  element('name', HTMLHeadingElement).textContent = address.name;
  const session = await openSession(address);
  introduceMe(session.presence);
  addRecent(address);

  const editor = openEditor(element('editor', HTMLElement), session, countWords);
  const allowWriting = (): void => editor.setReadOnly(mayNotWrite(session));
  allowWriting();
  void session.synced.then(editor.showHint);
  const stops = [
    session.permission.subscribe(allowWriting),
    session.line.subscribe(allowWriting),
    showOthers(session, editor.jumpTo),
    showStatus(session, { retry, discard: () => change(discardCopy), focusText: editor.focus }),
    editor.close,
    session.close,
  ];
  return {
    session,
    editor,
    hash,
    close() {
      for (const stop of stops) stop();
    },
  };
}

/** What would be written without access would only be lost; what is too large can be made smaller. */
function mayNotWrite({ permission, line: { state } }: Session): boolean {
  return permission.access !== 'write' || (state.kind === 'refused' && state.why !== 'too large');
}

function retry(): void {
  const { session, editor } = current;
  const { state } = session.line;
  // Deleted text that undo would bring back goes to the server, too.
  if (state.kind === 'refused' && state.why === 'too large') editor.forgetDeleted();
  session.line.retry();
}

async function discardCopy(): Promise<void> {
  if (!confirm('What only this browser has of this document would be lost. Discard it?')) return;
  current.session.discard();
  current.close();
  current = await openDocument();
}

async function changeDocument(): Promise<void> {
  if (location.hash === current.hash) return;
  const { saves, isKept } = current.session;
  const isLoss = edits(saves) > 0 && !isKept;
  if (isLoss && !confirm(`${countEdits(saves)} would be lost, not saved yet. Leave this document?`)) {
    history.replaceState(null, '', current.hash || '#');
    return;
  }
  current.close();
  current = await openDocument();
}

// It may have changed while the first one was opened.
let changing = changeDocument();
window.addEventListener('hashchange', () => change(changeDocument));

/** One after the other. */
function change(step: () => Promise<void>): void {
  changing = changing.then(step).catch(() => location.reload());
}

window.addEventListener('beforeunload', (event) => {
  if (edits(current.session.saves) > 0) event.preventDefault();
});

const currentAddress = () => current.session.address;
const documents = new DocumentsDialog(currentAddress);
const share = new ShareDialog(currentAddress);
setUpNetworkPanel(() => current.session);
watchActivity((isIdle) => current.session.presence.set('idle', isIdle));

// After the fields themselves.
element('me', HTMLFormElement).addEventListener('input', () => introduceMe(current.session.presence));
element('open-documents', HTMLButtonElement).addEventListener('click', () => documents.open());
element('open-share', HTMLButtonElement).addEventListener('click', () => share.open());
element('undo', HTMLButtonElement).addEventListener('click', () => current.editor.undo());
element('redo', HTMLButtonElement).addEventListener('click', () => current.editor.redo());
element('skip', HTMLButtonElement).addEventListener('click', () => current.editor.focus());

await keepPage();
